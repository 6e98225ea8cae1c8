"""The table of all settings. Flags, environment, files, help and manual are made from it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from ironmesh.config import (
    DEFAULT_MESH,
    DEFAULT_PORT,
    MAX_LEGACY_HOPS,
    LegacyMode,
    PeerAddress,
    check_mesh,
    check_name,
    check_node_id,
    parse_moment,
    parse_protocol_version,
)
from ironmesh.errors import ConfigError
from ironmesh.mesh.capabilities import check_capability
from ironmesh.settings.kinds import (
    Choice,
    FilePath,
    Kind,
    Listing,
    Seconds,
    Switch,
    Text,
    Value,
    Whole,
)
from ironmesh.types import MeshMode


class Group(StrEnum):
    """Sections of the manual, in its order."""

    NODE = "The node and its files"
    NETWORK = "Network"
    MESH = "Mesh"
    WIRE = "Wires"
    LOG = "Log"


class Place(Enum):
    """In which files a setting may stand."""

    ANY = "any"
    HOME = "home"
    """Only in the file for all nodes."""
    NONE = "none"
    """In no file."""


class Stage(Enum):
    """Whether the feature exists."""

    BUILT = "built"
    LATER = "later"
    """Not yet: the value is checked, and unused."""
    LATER_SWITCH = "later_switch"
    """Not yet: turning it on is an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting."""

    name: str
    """Its key in a file."""
    kind: Kind
    help: str
    default: Value = None
    default_text: str = ""
    """For the manual, where `default` does not say it."""
    group: Group = Group.NODE
    place: Place = Place.ANY
    stage: Stage = Stage.BUILT
    flag: str = ""
    variable: str = ""
    is_repeated: bool = False
    """The flag takes one item at a time, any number of times."""

    @property
    def is_switch(self) -> bool:
        """Its flag takes no value, and has a `--no-` twin."""
        return isinstance(self.kind, Switch)

    @property
    def flag_name(self) -> str:
        """Its flag."""
        return self.flag or "--" + self.name.replace("_", "-")

    @property
    def variable_name(self) -> str:
        """Its environment variable."""
        return self.variable or "IRONMESH_" + self.name.upper()

    @property
    def shown_default(self) -> str:
        """The default for people; empty where there is none."""
        if self.default_text or self.default is None:
            return self.default_text
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if isinstance(self.default, float):
            return f"{self.default:g}"
        return str(self.default)


def _host(text: str) -> None:
    if not text.strip():
        raise ConfigError(f"{text!r} is not an address", "use an address of this machine")


def _version(text: str) -> None:
    if parse_protocol_version(text) == (0, 0):
        raise ConfigError(f"{text!r} is not a protocol version", "write ironmesh/X.Y")


_NODE: Final = (
    Setting(
        name="name",
        kind=Text(check_name, "NAME"),
        place=Place.HOME,
        help="Name of the node.",
    ),
    Setting(
        name="home",
        kind=FilePath("FOLDER"),
        place=Place.NONE,
        default_text="~/.ironmesh",
        help="Folder with the nodes' files.",
    ),
    Setting(
        name="passphrase_file",
        kind=FilePath(),
        default_text="HOME/passphrase",
        help="File with the mesh passphrase.",
    ),
    Setting(
        name="passphrase_generation",
        kind=Whole(0, 255),
        default=0,
        help="Number of the mesh passphrase: one more at each change.",
    ),
    Setting(
        name="previous_passphrase_file",
        kind=FilePath(),
        default_text="none",
        help="File with the mesh passphrase before the last change.",
    ),
    Setting(
        name="previous_passphrase_until",
        kind=Text(parse_moment, "DATE"),
        default_text="none",
        help="When the previous passphrase ends, such as 2027-01-31T18:00.",
    ),
    Setting(
        name="keys_path",
        kind=FilePath(),
        default_text="HOME/nodes/NAME/keys.json",
        help="Key file.",
    ),
    Setting(
        name="keys_passphrase_file",
        kind=FilePath(),
        default_text="the mesh passphrase",
        help="Opens the key file, where it is not the mesh passphrase.",
    ),
    Setting(
        name="trust_path",
        kind=FilePath(),
        default_text="HOME/nodes/NAME/known_peers.json",
        help="Pin file.",
    ),
    Setting(
        name="audit_path",
        kind=FilePath(),
        default_text="HOME/nodes/NAME/audit.log",
        help="Audit log.",
    ),
    Setting(
        name="capabilities",
        kind=Listing(check_capability, "TEXT"),
        flag="--capability",
        is_repeated=True,
        default=(),
        default_text="none",
        help="What this node can do, such as llm:llama3.",
    ),
    Setting(
        name="profile",
        kind=Choice(("secure", "dev", "offline")),
        default_text="none",
        help="A set of other defaults; what is set anywhere wins over it.",
    ),
    Setting(
        name="force",
        kind=Switch(),
        default=False,
        help="With the profile secure: accept INSECURE settings.",
    ),
)
_NETWORK: Final = (
    Setting(
        name="mesh",
        kind=Text(check_mesh, "NAME"),
        group=Group.NETWORK,
        default=DEFAULT_MESH,
        help="Public name of the mesh; other meshes are not dialled.",
    ),
    Setting(
        name="port",
        kind=Whole(0, 65535),
        group=Group.NETWORK,
        default=DEFAULT_PORT,
        help="TCP port to listen on; 0 = any free one.",
    ),
    Setting(
        name="bind",
        kind=Text(_host, "ADDRESS"),
        group=Group.NETWORK,
        default="0.0.0.0",  # noqa: S104 - a mesh node listens on the network
        help="Address to listen on.",
    ),
    Setting(
        name="peers",
        kind=Listing(PeerAddress.parse, "HOST:PORT"),
        flag="--peer",
        is_repeated=True,
        group=Group.NETWORK,
        default=(),
        default_text="none",
        help="Dial this address.",
    ),
    Setting(
        name="allowed_peers",
        kind=Listing(),
        group=Group.NETWORK,
        default_text="no list: nobody is dialled",
        help="Dial and accept only these names, comma separated.",
    ),
    Setting(
        name="open_discovery",
        kind=Switch(),
        group=Group.NETWORK,
        default=False,
        help="Dial every node found. INSECURE.",
    ),
    Setting(
        name="mdns",
        kind=Switch(),
        group=Group.NETWORK,
        default=True,
        help="Announce this node and look for others.",
    ),
    Setting(
        name="tls_cert",
        kind=FilePath(),
        group=Group.NETWORK,
        default_text="made at the first start",
        help="Certificate.",
    ),
    Setting(
        name="tls_key",
        kind=FilePath(),
        group=Group.NETWORK,
        default_text="made at the first start",
        help="Its key.",
    ),
    Setting(
        name="allow_plaintext_ws",
        kind=Switch(),
        group=Group.NETWORK,
        default=False,
        help="Do without TLS. INSECURE.",
    ),
)
_WIRES: Final = (
    Setting(
        name="legacy",
        kind=Choice(tuple(mode.value for mode in LegacyMode)),
        group=Group.WIRE,
        default=LegacyMode.OFF.value,
        help="Who may speak the published 0.8 wire. INSECURE.",
    ),
    Setting(
        name="legacy_names",
        kind=Listing(),
        group=Group.WIRE,
        default=(),
        default_text="none",
        help="With --legacy named: these names, comma separated.",
    ),
    Setting(
        name="legacy_passphrase_file",
        kind=FilePath(),
        group=Group.WIRE,
        default_text="the mesh passphrase, if it may serve",
        help="Passphrase of the 0.8 wire alone.",
    ),
    Setting(
        name="legacy_same_passphrase",
        kind=Switch(),
        group=Group.WIRE,
        default=False,
        help="Use the mesh passphrase on the 0.8 wire, however weak. INSECURE.",
    ),
    Setting(
        name="require_pq",
        kind=Switch(),
        group=Group.WIRE,
        default=False,
        help="Refuse sessions without post-quantum secrecy: slow radio.",
    ),
    Setting(
        name="min_protocol_version",
        kind=Text(_version, "VERSION"),
        group=Group.WIRE,
        default="ironmesh/0.3",
        help="Refuse older peers.",
    ),
    Setting(
        name="rekey_interval",
        kind=Seconds(),
        group=Group.WIRE,
        default=1800.0,
        help="Seconds between key changes; 0 = never.",
    ),
)
_MESH: Final = (
    Setting(
        name="mesh_routing",
        kind=Choice(tuple(mode.value for mode in MeshMode)),
        group=Group.MESH,
        default=MeshMode.RELAY.value,
        help="Hand on what is for others; only use routes; or know direct peers only.",
    ),
    Setting(
        name="revocation_authorities",
        kind=Listing(check_node_id, "ID"),
        flag="--revocation-authority",
        is_repeated=True,
        group=Group.MESH,
        default=(),
        default_text="none: each node ends its own identity only",
        help="Node that may revoke others for the whole mesh.",
    ),
    Setting(
        name="max_hops",
        kind=Whole(1, MAX_LEGACY_HOPS),
        group=Group.MESH,
        default=5,
        help="How far a message may go over nodes of the 0.8 wire.",
    ),
    Setting(
        name="route_announce_interval",
        kind=Seconds(1),
        group=Group.MESH,
        default=30.0,
        help="Seconds between two announcements of routes on the 0.8 wire.",
    ),
    Setting(
        name="route_ttl",
        kind=Seconds(1),
        group=Group.MESH,
        default=90.0,
        help="Seconds that a route of the 0.8 wire lives unless it is announced again.",
    ),
    Setting(
        name="allow_plain_relay",
        kind=Switch(),
        group=Group.MESH,
        default=False,
        help="Let relays of the 0.8 wire read what cannot be sealed. INSECURE.",
    ),
)
_LOG: Final = (
    Setting(
        name="log_level",
        kind=Choice(("DEBUG", "INFO", "WARNING", "ERROR")),
        group=Group.LOG,
        default="INFO",
        help="The least level that is logged.",
    ),
    Setting(
        name="log_file",
        kind=FilePath(),
        group=Group.LOG,
        default_text="standard error",
        help="Append the log to this file.",
    ),
    Setting(
        name="log_format",
        kind=Choice(("text", "json")),
        group=Group.LOG,
        default="text",
        help="How a line of the log looks.",
    ),
)


def _later(name: str, kind: Kind, *, flag: str = "", variable: str = "") -> Setting:
    stage = Stage.LATER_SWITCH if isinstance(kind, Switch) else Stage.LATER
    return Setting(name=name, kind=kind, flag=flag, variable=variable, stage=stage, help="Later.")


_LATER: Final = (
    _later("rotate_keys", Switch()),
    _later("gui", Switch()),
    _later("reticulum", Switch(), variable="IRONMESH_RNS_ENABLED"),
    _later("require_message_promotion", Switch(), variable="IRONMESH_REQUIRE_MSG_PROMOTION"),
    _later("db_path", FilePath()),
    _later("routes_path", FilePath()),
    _later("capabilities_path", FilePath()),
    _later("capability_announce_interval", Seconds(1)),
    _later("gui_bind", Text()),
    _later("rns_configdir", FilePath()),
    _later("rns_announce_interval", Seconds(1)),
    _later("rns_connect", Listing()),
    _later("lora_max_payload", Whole()),
    _later("metrics_format", Choice(("prometheus", "json"))),
    _later("pending_trust_queue_cap", Whole(1), variable="IRONMESH_PENDING_QUEUE_CAP"),
)

SETTINGS: Final = (*_NODE, *_NETWORK, *_MESH, *_WIRES, *_LOG, *_LATER)
"""Every setting, in the order of `--help` and of the manual."""
BUILT: Final = tuple(setting for setting in SETTINGS if setting.stage is Stage.BUILT)
BY_NAME: Final = {setting.name: setting for setting in SETTINGS}

SECRETS: Final = frozenset(
    {"passphrase", "previous_passphrase", "keys_passphrase", "legacy_passphrase"}
)
"""Never in a configuration file; each has a setting `NAME_file`."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that somebody may have meant by `name`."""
    return next(iter(difflib.get_close_matches(name, known, 1)), None)
