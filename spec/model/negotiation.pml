/*
 * Which wire two nodes speak (docs/protocol.md, section 2) while an attacker who is the network would
 * have them speak the published 0.8 one, or an earlier version of ours. It knows the passphrase of
 * the 0.8 wire, and has an identity of its own. README.md says what is bounded and left out;
 * scripts/model.py has the cases, and runs them.
 *
 * The handshake of our own wire is one step here: it completes between two ends if and only if they
 * speak the same version and saw the same offer. That it does so is what handshake.pml is about.
 */

/* --- A case is a scene, what is left out, and what is watched -------------------------------------- */

#define SCENE_ANY 1               /* A speaks our wire; so does B, or it is a published node */
#define SCENE_NATIVE 2            /* both speak our wire */
#define SCENE_NATIVE_ONE_PIN 3    /* both do; A met B natively, and B forgot that it met A */
#define SCENE_NATIVE_TWO_PINS 4   /* both do, and both know that they met natively */

#define NO_OFFER 1                /* what was offered and chosen is not in the transcript */
#define NO_ALLOWING 2             /* the 0.8 wire is spoken whether or not it is allowed */
#define NO_GIVEN 3                /* announced addresses are dialled on the 0.8 wire as well */
#define NO_MARK 4                 /* a node of ours does not say so in its HELLO */
#define NO_SIGNED_MARK 5          /* it says so outside of what is signed */
#define NO_MARK_CHECK 6           /* nobody looks at what it says */
#define NO_PIN 7                  /* it is not remembered who was met natively */
#define NO_BINDING 8              /* a HELLO is not bound to the challenge of its connection */
#define NO_SELF 9                 /* a peer with one's own identity is taken */
#define NO_NAME 10                /* another key may use the name of a pinned peer */
#define NO_SEPARATE 11            /* both wires have the same passphrase */

#define DOWNGRADE 1               /* two nodes of ours never speak the 0.8 wire */
#define FORBIDDEN 2               /* nor where one end forbids it, or has met the other natively: P9 */
#define VERSION 4                 /* they speak the best version of both */
#define POLICY 8                  /* a node speaks the 0.8 wire only where its operator allows it */
#define PINNED 16                 /* never with whom it met natively, whatever that one runs now */
#define REAL 32                   /* who is accepted is there, with the same challenge, and is not oneself */
#define NAME 64                   /* nobody gets the name of a pinned peer */
#define GUESSING 128              /* no proof of the mesh's passphrase is given away to test guesses on */
#define NEVER_NATIVE 256          /* our wire is never spoken: false, and to be found false */
#define NEVER_LEGACY 512          /* nor is the 0.8 wire, with a published node: likewise */

hidden byte scene, powers, without;
hidden int watched;
#define OFF(check) (without == check)

/* --- Terms ------------------------------------------------------------------------------------------ */

/* An end of a connection is a strand: A dials with 1 and is dialled at 4, B dials with 2 and is
 * dialled at 3. The challenge of strand s is s. */
#define STRANDS 5
#define DIALS(s) ((s) < 3)
#define BIT(s) (1 << (s))
#define EVIL 7                    /* a challenge, or the HELLO, of the attacker's own */

#define A 1                       /* identities, and the names that go with them */
#define B 2
#define MALLORY 3
#define HONEST(who) ((who) != MALLORY)
#define OTHER(who) ((who) == A -> B : A)

#define LEGACY 0                  /* versions, also of an offer: nothing of ours, this one, a later one */
#define V5 1
#define LATER 2

mtype = { OFFER, CHOICE, FINISH, CHALLENGE, HELLO };
#define NOTHING 0

/* --- State ------------------------------------------------------------------------------------------ */

#define NODES 4
bool native[NODES];               /* speaks our wire; otherwise a published node */
bool allows[NODES];               /* its operator allows the 0.8 wire */
bool met[NODES];                  /* has met the other natively, and holds a pin that says so */
bool given;                       /* addresses were given by the operators, not announced */

byte self[STRANDS];
mtype awaits[STRANDS];
byte offered[STRANDS], chosen[STRANDS];
byte bound[STRANDS];              /* the challenge that its HELLO is bound to; 0 = it has sent none */
bool accepted[STRANDS];

int violated;
#define MUST(property, condition) violated = violated | ((condition) -> 0 : property)
#define CHECK assert(!(violated & watched))

/* Does the HELLO of this identity say that its sender speaks our wire? */
#define IS_MARKED(who) (HONEST(who) && native[who] && !OFF(NO_MARK))

chan to[STRANDS] = [0] of { mtype, byte, byte, bit };

hidden byte rfrom, rname, rmark, stated, is_good, is_here, i;

/* --- The 0.8 wire ----------------------------------------------------------------------------------- */

/* May this end speak the 0.8 wire at all? A published node does nothing else. */
#define SPEAKS_LEGACY(s) (!native[self[s]] \
    || ((OFF(NO_ALLOWING) || allows[self[s]]) && (!DIALS(s) || OFF(NO_GIVEN) || given)))

/* Judge the HELLO of strand `from`, or one that the attacker signed, with this name and this mark. */
inline judge(s, from, name, mark) {
    stated = (from == EVIL -> MALLORY : self[from]);
    is_good = from == EVIL || OFF(NO_BINDING) || bound[from] == (DIALS(s) -> bound[s] : s);
    is_good = is_good && (from == EVIL || OFF(NO_SIGNED_MARK) || mark == IS_MARKED(stated));
    is_good = is_good && (OFF(NO_SELF) || stated != self[s]);
    is_good = is_good && (from == EVIL || name == stated);
    if
    :: native[self[s]] ->
        is_good = is_good && (OFF(NO_MARK_CHECK) || !mark);
        is_good = is_good && (OFF(NO_PIN) || !met[self[s]] || stated != OTHER(self[s]));
        is_good = is_good && (OFF(NO_NAME) || !met[self[s]] || name != OTHER(self[s]) || stated == name)
    :: else
    fi
}

inline accept_legacy(s, who, name) {
    d_step {
        accepted[s] = 1; chosen[s] = LEGACY; awaits[s] = NOTHING;
        is_here = !HONEST(who); i = 1;
        do
        :: i == STRANDS -> break
        :: else ->
            is_here = is_here || (i != s && self[i] == who && bound[i] == bound[s]);
            i++
        od;
        MUST(REAL, is_here && who != self[s]);
        if
        :: native[self[s]] ->
            MUST(POLICY, allows[self[s]] && (!DIALS(s) || given));
            MUST(PINNED, !met[self[s]] || who != OTHER(self[s]));
            MUST(NAME, !met[self[s]] || name != OTHER(self[s]) || who == name);
            if
            :: HONEST(who) && native[who] ->
                MUST(DOWNGRADE, 0);
                MUST(FORBIDDEN, allows[A] && allows[B] && !met[A] && !met[B])
            :: else
            fi
        :: else
        fi;
        MUST(NEVER_LEGACY, !DIALS(s) || !HONEST(who) || native[self[s]] == native[who] || !is_here)
    }
}

/* --- Both ends --------------------------------------------------------------------------------------- */

proctype Client(byte s) {
    atomic {
        if
        :: native[self[s]] ->
            offered[s] = LATER; awaits[s] = CHOICE;
            to[s] ? CHOICE(chosen[s], _, _)
        :: else
        fi;
        if
        :: native[self[s]] && chosen[s] != LEGACY ->
            awaits[s] = FINISH; goto done
        :: !SPEAKS_LEGACY(s) -> awaits[s] = NOTHING; goto done
        :: else -> awaits[s] = CHALLENGE
        fi
    };
    atomic {
        /* Whoever is dialled gets an HMAC of the passphrase, and then a HELLO. */
        to[s] ? CHALLENGE(bound[s], _, _);
        MUST(GUESSING, !native[self[s]] || !OFF(NO_SEPARATE));
        CHECK;
        awaits[s] = HELLO
    };
    atomic {
        to[s] ? HELLO(rfrom, rname, rmark);
        judge(s, rfrom, rname, rmark);
        if
        :: is_good -> accept_legacy(s, stated, rname); CHECK
        :: else -> awaits[s] = NOTHING
        fi;
done:   skip
    }
}

proctype Server(byte s) {
    atomic {
        awaits[s] = OFFER;
        to[s] ? OFFER(offered[s], _, _);
        if
        :: native[self[s]] && offered[s] != LEGACY ->
            chosen[s] = offered[s]; awaits[s] = FINISH; goto done
        :: !SPEAKS_LEGACY(s) -> awaits[s] = NOTHING; goto done
        :: else -> offered[s] = LEGACY; awaits[s] = HELLO
        fi
    };
    atomic {
        to[s] ? HELLO(rfrom, rname, rmark);
        judge(s, rfrom, rname, rmark);
        if
        :: is_good -> bound[s] = s; accept_legacy(s, stated, rname); CHECK
        :: else -> awaits[s] = NOTHING
        fi;
done:   skip
    }
}

/* The handshake of our wire between strand c, which dials, and strand d, all in one. */
inline finish(c, d) {
    d_step {
        accepted[c] = 1; accepted[d] = 1; awaits[c] = NOTHING; awaits[d] = NOTHING;
        met[self[c]] = 1; met[self[d]] = 1;
        MUST(VERSION, chosen[c] == LATER);
        MUST(NEVER_NATIVE, chosen[c] != LATER);
        CHECK
    }
}

/* --- The attacker -------------------------------------------------------------------------------------- */

hidden byte target, with, version, from, name, mark;

inline pick_challenge() {
    if :: from = 3 :: from = 4 :: from = EVIL fi
}

inline pick_hello() {
    if
    :: bound[1] -> from = 1
    :: bound[2] -> from = 2
    :: bound[3] -> from = 3
    :: bound[4] -> from = 4
    :: from = EVIL
    fi;
    if :: name = A :: name = B :: name = MALLORY fi;
    if :: mark = 0 :: mark = 1 fi
}

inline pick_version() {
    if :: version = LEGACY :: version = V5 :: version = LATER fi
}

/* Say to a strand something of the kind that it waits for. Saying nothing is always possible. */
inline say() {
    if
    :: awaits[target] == OFFER ->
        pick_version();
        printf("to %d: offers %d\n", target, version); to[target] ! OFFER(version, 0, 0)
    :: awaits[target] == CHOICE ->
        pick_version();
        printf("to %d: chooses %d\n", target, version); to[target] ! CHOICE(version, 0, 0)
    :: awaits[target] == CHALLENGE ->
        pick_challenge();
        printf("to %d: challenge %d\n", target, from); to[target] ! CHALLENGE(from, 0, 0)
    :: awaits[target] == HELLO ->
        pick_hello();
        printf("to %d: HELLO of %d, named %d, marked %d\n", target, from, name, mark);
        to[target] ! HELLO(from, name, mark)
    fi
}

proctype Attacker() {
end:
    do
    :: atomic {
        if :: target = 1 :: target = 2 :: target = 3 :: target = 4 fi;
        awaits[target] != NOTHING && awaits[target] != FINISH;
        say()
    }
    :: atomic {                   /* carry the messages of our handshake from end to end, unchanged */
        if :: target = 1 :: target = 2 fi;
        if :: with = 3 :: with = 4 fi;
        (awaits[target] == FINISH && awaits[with] == FINISH && self[target] != self[with]
            && chosen[target] == chosen[with] && (OFF(NO_OFFER) || offered[target] == offered[with]));
        printf("%d and %d shake hands\n", target, with);
        finish(target, with)
    }
    od
}

/* --- Scenes ---------------------------------------------------------------------------------------------- */

inline either(bit_of) { if :: bit_of = 0 :: bit_of = 1 fi }

init {
    atomic {
        c_code {
            scene = atoi(getenv("SCENE"));
            powers = atoi(getenv("POWERS"));
            without = atoi(getenv("WITHOUT"));
            watched = atoi(getenv("WATCHED"));
        };
        native[A] = 1;            /* both do the same, so it does not matter which of them is A */
        if :: scene == SCENE_ANY -> native[B] = 0 :: native[B] = 1 fi;
        either(given); either(allows[A]);
        if
        :: native[B] -> either(allows[B])
        :: else                   /* it knows neither permission nor pin */
        fi;
        if
        :: scene == SCENE_NATIVE_ONE_PIN -> met[A] = 1
        :: scene == SCENE_NATIVE_TWO_PINS -> met[A] = 1; met[B] = 1
        :: scene == SCENE_ANY || scene == SCENE_NATIVE ->
            either(met[A]);
            if
            :: native[B] -> either(met[B])
            :: else
            fi
        fi;
        self[1] = A; self[2] = B; self[3] = B; self[4] = A;
        run Client(1); run Client(2); run Server(3); run Server(4);
        run Attacker()
    }
}
