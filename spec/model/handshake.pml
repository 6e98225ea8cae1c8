/*
 * Negotiation, full handshake and resumption of the native wire (docs/protocol.md, sections 2 to 6)
 * against an attacker who is the network. README.md says what is bounded and what is left out.
 *
 * Build with -DSCENE_x, for one of the scenes at the end of this file. More switches:
 *   INSIDER     the attacker knows the passphrase and has an identity of its own
 *   PROPERTY=x  what to assert; all properties without it
 *   BREAK_x     leave one defence out: a property must then fail
 *
 * Cryptography is symbolic. Whatever is drawn at random is a symbol, and a hash is the list of what
 * was hashed, packed into an integer: two hashes are the same only if all of it is the same.
 */

/* Strands: 1 and 2 dial, 3 and 4 are dialled. Nonce, key and share that strand s draws are symbol s. */
#define STRANDS 5
#define FIRST_OF(s) ((s) + 4)     /* nonce and key in a resumption: drawn anew for M1 after it */
#define EVIL 7                    /* a nonce, a key or a share of the attacker; a seal or a signature by it */
#define DIALS(s) ((s) < 3)
#define BIT(s) (1 << (s))

/* Identities */
#define NOBODY 0
#define A 1
#define B 2
#define MALLORY 3
#define HONEST(who) ((who) == A || (who) == B)

/* Versions: both ends speak V5 and a later one. NONE of ours is the 0.8 wire. */
#define NONE 0
#define V5 1
#define LATER 2

/* Profiles */
#define HYBRID 1
#define RADIO 2
#define RESUME 3

/* What arrives */
mtype = { OFFER, CHOICE, M1, M2, M3, RESUMPTION, UNKNOWN, RESUMED, HELLO };
#define NOTHING 0

/* Transcripts: 29 bits. h2 ends before RESPONDER_BITS, h3 before INITIATOR_BITS. */
#ifdef BREAK_NEGOTIATION          /* what was offered and chosen is not in the transcript */
#define NEGOTIATED(offered, chosen) 0
#else
#define NEGOTIATED(offered, chosen) ((offered) | (chosen) << 2)
#endif
#define H0(offered, chosen, before) (NEGOTIATED(offered, chosen) | (before) << 4)
#define H1(h, profile, n, e, y) ((h) | (profile) << 7 | (n) << 9 | (e) << 12 | (y) << 15)
#define H2(h, n, e, y) ((h) | (n) << 18 | (e) << 21 | (y) << 24)
#define H3(h, who) ((h) | (who) << 27)
#define H4(h, who) ((h) | (who) << 29)
#define UP_TO_H3(h) ((h) & ((1 << 29) - 1))
#define PROFILE_IN(h) ((h) >> 7 & 3)

/* What a session's keys come from besides ck. */
#ifdef BREAK_IDENTITY             /* proofs are not sealed, and the session's keys do not depend on them */
#define SAME_KEYS(x, y) (ck[x] == ck[y])
#define IS_SEALED 0
#else
#define SAME_KEYS(x, y) (hash[x] == hash[y] && ck[x] == ck[y])
#define IS_SEALED 1
#endif

#ifdef INSIDER
#define KNOWS_PASSPHRASE 1
#else
#define KNOWS_PASSPHRASE 0
#endif

#ifdef BREAK_ISK                  /* ck comes from X25519 and ML-KEM alone */
#define KNOWS_ISK(yi, yr) 1
#else
#define KNOWS_ISK(yi, yr) (KNOWS_PASSPHRASE && ((yi) == EVIL || (yr) == EVIL))
#endif
#define KNOWS_DH(ei, er) ((ei) == EVIL || (er) == EVIL)

/* The honest ends */
byte self[STRANDS];               /* whose strand it is; NOBODY = not in this scene */
byte peer[STRANDS];               /* whom it accepted */
byte wants[STRANDS];              /* whom it dials; NOBODY = whoever answers */
mtype awaits[STRANDS];
int ck[STRANDS];                  /* h2, which ck is extracted with: it lists all the keys too */
int hash[STRANDS];                /* transcript so far */
int proved[STRANDS];              /* the transcript that its proof signs and is sealed with */
byte chosen[STRANDS];             /* version */
bool accepted[STRANDS], accepted_legacy[STRANDS];

/* What the attacker knows, a bit for each strand */
byte symbols;                     /* nonces, keys and shares, a bit for each symbol */
byte seals;                       /* its sealed proof */
byte opened;                      /* the signature in it: the attacker knows ck */
byte leaked;                      /* ck */
byte resumptions;                 /* its resumption */
byte hellos;                      /* its HELLO on the 0.8 wire */

/* The door of B: tokens, first messages answered, guesses at the passphrase that were tested */
byte tokens = 2, answers, dials_answered, guesses;

/* Tickets of an earlier session of A and B that A had dialled: who may still be shown one */
byte tickets;

/* Policy on the 0.8 wire, a bit for each identity */
byte allows_legacy, met_native;

/* Properties */
bool agreement = 1;               /* peers name each other and saw the same */
bool secrecy = 1;                 /* the attacker has no key of a session between honest ends */
bool authentication = 1;          /* only who was dialled is accepted; no outsider is */
bool key_share = 1;               /* who shares a key knows with whom */
bool no_replay = 1;               /* nothing said once is accepted twice or by its sender */
bool no_downgrade = 1;            /* the best version and profile of both, never the 0.8 wire */
bool legacy_policy = 1;           /* never the 0.8 wire where one end forbids it or knows better */
bool one_guess = 1;               /* an answer is one guess, and costs a token */
bool stranger = 1;                /* claimed false by honest runs: shows that the scene can end well */
#define ALL (agreement && secrecy && authentication && key_share && no_replay && no_downgrade \
             && legacy_policy && one_guess)
#ifndef PROPERTY
#define PROPERTY ALL
#endif
#define MUST(property, condition) property = property && (condition)

chan to[STRANDS] = [0] of { mtype, byte, byte, byte, byte, byte, byte, byte };

/* --- What honest ends check ------------------------------------------------------------------- */

inline refuse(s) {
    d_step { awaits[s] = NOTHING; ck[s] = 0; hash[s] = 0; peer[s] = NOBODY; chosen[s] = 0 }
}

/* Open and check a proof: `seal` is the strand that sealed it or EVIL, who then states `who` and
 * shows the signature of the strand `by`, or its own. */
inline verify(s, seal, who, by) {
    if
    :: seal == EVIL -> is_good = !IS_SEALED || (leaked & BIT(s)); stated = who; shown = by
    :: else ->
        is_good = !IS_SEALED || (ck[seal] == ck[s] && proved[seal] == hash[s]
                                 && DIALS(seal) != DIALS(s));
        stated = self[seal]; shown = seal
    fi;
    if
    :: shown == EVIL -> signer = MALLORY
    :: else ->
        signer = self[shown];
#ifndef BREAK_TRANSCRIPT          /* the signature covers role and statement only */
        is_good = is_good && proved[shown] == hash[s];
#endif
        is_good = is_good && DIALS(shown) != DIALS(s)
    fi;
#ifndef BREAK_SIGNER              /* the stated identity is not compared with the key that signed */
    is_good = is_good && signer == stated;
#endif
    is_good = is_good && stated != self[s]
}

/* A session stands at strand s: what must hold between it and every other. */
inline accept(s, who) {
    peer[s] = who; accepted[s] = 1; awaits[s] = NOTHING;
    is_good = 0; i = 1;
    do
    :: i == STRANDS -> break
    :: else ->
        if
        :: i != s && self[i] != NOBODY ->
            is_good = is_good || (self[i] == who && DIALS(i) != DIALS(s) && ck[i] == ck[s]
                && UP_TO_H3(hash[i]) == UP_TO_H3(hash[s])
                && (accepted[i] -> peer[i] == self[s] && hash[i] == hash[s] : DIALS(s)));
            MUST(key_share, !accepted[i] || !SAME_KEYS(i, s)
                 || (peer[i] == self[s] && peer[s] == self[i]));
            MUST(no_replay, !accepted[i] || DIALS(i) != DIALS(s) || !SAME_KEYS(i, s))
        :: else
        fi;
        i++
    od;
    if
    :: HONEST(who) ->
        MUST(secrecy, !(leaked & BIT(s)));
        MUST(no_downgrade, chosen[s] == LATER && PROFILE_IN(hash[s]) == HYBRID);
        MUST(agreement, is_good)
    :: else -> MUST(authentication, KNOWS_PASSPHRASE)
    fi;
    MUST(authentication, !DIALS(s) || wants[s] == NOBODY || wants[s] == who);
    MUST(stranger, !HONEST(who) || DIALS(s));
    assert(PROPERTY)
}

/* A resumption that arrived: strand `seal` made its binder. */
#ifdef BREAK_ROLE                 /* one ticket for both ends: labels without the role */
#define FITS_TICKET(s) 1
#else
#define FITS_TICKET(s) (self[s] == B)   /* A dialled the earlier session: A's ticket is good at B */
#endif

inline accept_resumed(s) {
    accepted[s] = 1; awaits[s] = NOTHING;
    peer[s] = (self[s] == A -> B : A);
    is_good = 0; i = 1;
    do
    :: i == STRANDS -> break
    :: else ->
        if
        :: i != s && self[i] == peer[s] && DIALS(i) != DIALS(s) && (resumptions & BIT(1)) ->
            is_good = is_good || (DIALS(s) -> accepted[i] && ck[i] == ck[s] : proved[i] == proved[s])
        :: i != s && self[i] != NOBODY && accepted[i] && DIALS(i) == DIALS(s) ->
            MUST(no_replay, proved[i] != proved[s])
        :: else
        fi;
        i++
    od;
    MUST(agreement, is_good);
    MUST(no_replay, DIALS(s) || self[s] != self[1]);
    MUST(stranger, !DIALS(s));
    assert(PROPERTY)
}

/* A HELLO of strand `seal`, or one by the attacker for its own identity. `marked`: it still says
 * that its sender speaks our wire too. */
inline greet(s, seal, who, marked) {
    stated = (seal == EVIL -> MALLORY : self[seal]);
    is_good = stated != self[s] && !marked;
#ifndef BREAK_MARK                /* the mark is not among the signed bytes */
    is_good = is_good && (seal == EVIL || marked == 1);
#endif
    is_good = is_good && !(HONEST(stated) && (met_native & BIT(self[s])));
    if
    :: is_good ->
        accepted_legacy[s] = 1; peer[s] = stated; awaits[s] = NOTHING;
        MUST(no_downgrade, !HONEST(stated));
        MUST(legacy_policy, !HONEST(stated) || ((allows_legacy & BIT(A)) && (allows_legacy & BIT(B))
                                                && !(met_native & BIT(A)) && !(met_native & BIT(B))));
        assert(PROPERTY)
    :: else -> refuse(s)
    fi
}

/* --- The end that dials ----------------------------------------------------------------------- */

proctype Initiator(byte s) {
    byte n, e, y, seal, who, by, profile, before;
    byte stated, shown, signer, i;
    bool is_good;

    atomic {
#ifdef SCENE_NEGOTIATION
        awaits[s] = CHOICE;
        to[s] ? CHOICE(chosen[s], _, _, _, _, _, _);
        if
        :: chosen[s] == NONE && (allows_legacy & BIT(self[s])) -> awaits[s] = HELLO; goto legacy
        :: chosen[s] == NONE && !(allows_legacy & BIT(self[s])) -> refuse(s); goto end
        :: else
        fi;
#else
        chosen[s] = LATER;
#endif
#ifdef SCENE_RESUMPTION
        hash[s] = H1(H0(LATER, LATER, 0), RESUME, FIRST_OF(s), FIRST_OF(s), 0);
        proved[s] = hash[s];
        resumptions = resumptions | BIT(s); symbols = symbols | BIT(FIRST_OF(s));
        awaits[s] = RESUMED;
        if
        :: to[s] ? RESUMED(_, n, e, seal, _, _, _) -> goto resumed
        :: to[s] ? UNKNOWN(_, _, _, _, _, _, _) -> before = FIRST_OF(s)
        fi;
#endif
        /* M1 */
        hash[s] = H1(H0(LATER, chosen[s], before), HYBRID, s, s, s); proved[s] = 0;
        symbols = symbols | BIT(s);
        awaits[s] = M2
    };
    atomic {
        to[s] ? M2(_, n, e, y, seal, who, by);
        if
        :: n == s || e == s || y == s -> refuse(s); goto clear
        :: else
        fi;
        ck[s] = H2(hash[s], n, e, y); hash[s] = ck[s];
        if
        :: KNOWS_DH(s, e) && KNOWS_ISK(s, y) -> leaked = leaked | BIT(s)
        :: else
        fi;
        verify(s, seal, who, by);
        if
        :: !is_good && y == EVIL -> dials_answered++; guesses++
        :: else
        fi;
#ifndef BREAK_DIALLED             /* whoever answers will do */
        is_good = is_good && (wants[s] == NOBODY || wants[s] == stated);
#endif
        if
        :: !is_good -> leaked = leaked & ~BIT(s); refuse(s); goto clear
        :: else
        fi;
        /* M3 */
        hash[s] = H3(hash[s], stated); proved[s] = hash[s]; hash[s] = H4(hash[s], self[s]);
        seals = seals | BIT(s); opened = opened | (leaked & BIT(s));
        accept(s, stated);
        goto clear;

resumed:
        /* The answer is sealed with what only the two ends of the earlier session know. */
        ck[s] = H2(hash[s], n, e, 0);
        is_good = e != FIRST_OF(s) && seal != EVIL && ck[seal] == ck[s];
        if
        :: !is_good -> refuse(s)
        :: else -> hash[s] = ck[s]; accept_resumed(s)
        fi;
        goto clear;

legacy:
        to[s] ? HELLO(_, _, _, _, seal, who, by);
        greet(s, seal, who, by);
        if
        :: is_good -> hellos = hellos | BIT(s)
        :: else
        fi;
clear:  n = 0; e = 0; y = 0; seal = 0; who = 0; by = 0; before = 0;
        stated = 0; shown = 0; signer = 0; i = 0; is_good = 0;
end:    skip
    }
}

/* --- The end that is dialled ------------------------------------------------------------------ */

proctype Responder(byte s) {
    byte n, e, y, seal, who, by, profile, before, offered;
    byte stated, shown, signer, i;
    bool is_good;

    atomic {
        offered = LATER; chosen[s] = LATER;
#ifdef SCENE_NEGOTIATION
        awaits[s] = OFFER;
        to[s] ? OFFER(offered, _, _, _, _, _, _);
        chosen[s] = offered;
        if
        :: offered == NONE && (allows_legacy & BIT(self[s])) ->
            hellos = hellos | BIT(s); awaits[s] = HELLO; goto legacy
        :: offered == NONE && !(allows_legacy & BIT(self[s])) -> refuse(s); goto clear
        :: else
        fi;
#endif
#ifdef SCENE_RESUMPTION
        awaits[s] = RESUMPTION;
        if
        :: to[s] ? RESUMPTION(_, n, e, seal, _, _, _) -> goto resumption
        :: to[s] ? M1(profile, n, e, y, _, _, _) -> goto answer
        fi;
listen:
#endif
        awaits[s] = M1
    };
    atomic {
        to[s] ? M1(profile, n, e, y, _, _, _);
answer:
        if
        :: tokens == 0 && self[s] == B -> refuse(s); goto clear
        :: else
        fi;
#ifndef BREAK_TOKEN               /* a token is taken when M3 fails, not when M1 is answered */
        tokens = (self[s] == B -> tokens - 1 : tokens);
#endif
        answers++;
        /* M2 */
        hash[s] = H1(H0(offered, chosen[s], before), profile, n, e, y);
        hash[s] = H2(hash[s], s, s, s); ck[s] = hash[s]; proved[s] = hash[s];
        hash[s] = H3(hash[s], self[s]);
        symbols = symbols | BIT(s); seals = seals | BIT(s);
        if
        :: KNOWS_DH(e, s) && KNOWS_ISK(y, s) ->
            leaked = leaked | BIT(s); opened = opened | BIT(s)
        :: else ->
            opened = opened | (IS_SEALED -> 0 : BIT(s))
        fi;
        if
        :: e == EVIL && y == EVIL -> guesses++
        :: else
        fi;
#ifdef BREAK_CPACE                /* the passphrase goes into ck as it is: every guess can be tried */
        guesses = (e == EVIL -> guesses + 2 : guesses);
#endif
        MUST(one_guess, guesses <= answers + dials_answered);
#ifdef SCENE_DOOR
        MUST(one_guess, guesses <= dials_answered + 1);
#endif
        assert(PROPERTY);
        n = 0; e = 0; y = 0; profile = 0; before = 0; offered = 0; seal = 0;
        awaits[s] = M3
    };
    atomic {
        to[s] ? M3(_, _, _, _, seal, who, by);
        verify(s, seal, who, by);
        if
        :: !is_good ->
#ifdef BREAK_TOKEN
            tokens = (self[s] == B -> tokens - 1 : tokens);
#endif
            refuse(s)
        :: else ->
#ifndef BREAK_TOKEN
            tokens = (self[s] == B -> tokens + 1 : tokens);
#endif
            hash[s] = H4(hash[s], stated);
            accept(s, stated)
        fi;
        goto clear;

#ifdef SCENE_RESUMPTION
resumption:
        hash[s] = H1(H0(offered, chosen[s], 0), RESUME, n, e, 0);
        is_good = seal != EVIL && proved[seal] == hash[s] && FITS_TICKET(s) &&
                  (tickets & BIT(self[s]));
        if
        :: !is_good -> before = (n == e -> n : EVIL); hash[s] = 0; n = 0; e = 0; seal = 0;
                       is_good = 0; goto listen
        :: else
        fi;
#ifndef BREAK_BURN                /* a ticket stays good after it was used */
        tickets = tickets & ~BIT(self[s]);
#endif
        proved[s] = hash[s];
        ck[s] = H2(hash[s], s, s, 0); hash[s] = ck[s];
        symbols = symbols | BIT(s); seals = seals | BIT(s);
        accept_resumed(s);
        goto clear;
#endif

legacy:
        to[s] ? HELLO(_, _, _, _, seal, who, by);
        greet(s, seal, who, by);

clear:  n = 0; e = 0; y = 0; seal = 0; who = 0; by = 0; profile = 0; before = 0; offered = 0;
        stated = 0; shown = 0; signer = 0; i = 0; is_good = 0
    }
}

/* --- The attacker ----------------------------------------------------------------------------- */

/* Any nonce, key or share that was sent by anybody, or one of its own. */
inline pick(value) {
    if
    :: (symbols & BIT(1)) -> value = 1
    :: (symbols & BIT(2)) -> value = 2
    :: (symbols & BIT(3)) -> value = 3
    :: (symbols & BIT(4)) -> value = 4
    :: (symbols & BIT(5)) -> value = 5
    :: (symbols & BIT(6)) -> value = 6
    :: value = EVIL
    fi
}

/* Any item of a kind that some strand sent, or one of its own. */
inline pick_from(sent, value) {
    if
    :: (sent & BIT(1)) -> value = 1
    :: (sent & BIT(2)) -> value = 2
    :: (sent & BIT(3)) -> value = 3
    :: (sent & BIT(4)) -> value = 4
    :: value = EVIL
    fi
}

/* Any sealed proof, or one made of a stated identity and a signature that it knows. */
inline pick_proof() {
    pick_from(seals, seal);
    if
    :: seal == EVIL ->
        if :: who = A :: who = B :: who = MALLORY fi;
        pick_from(opened, by)
    :: else
    fi
}

/* Send one strand something of the kind that it waits for. Not to send is always possible. */
inline attack(s) {
    if
    :: awaits[s] == M1 || awaits[s] == RESUMPTION ->
        if :: profile = HYBRID :: profile = RADIO fi;
        pick(n); pick(e); pick(y);
        to[s] ! M1(profile, n, e, y, 0, 0, 0)
    :: awaits[s] == M2 ->
        pick(n); pick(e); pick(y); pick_proof();
        to[s] ! M2(0, n, e, y, seal, who, by)
    :: awaits[s] == M3 -> pick_proof(); to[s] ! M3(0, 0, 0, 0, seal, who, by)
    :: awaits[s] == RESUMPTION ->
        pick(n); pick(e); pick_from(resumptions, seal);
        to[s] ! RESUMPTION(0, n, e, seal, 0, 0, 0)
    :: awaits[s] == RESUMED -> to[s] ! UNKNOWN(0, 0, 0, 0, 0, 0, 0)
    :: awaits[s] == RESUMED ->
        pick(n); pick(e); pick_from(seals, seal);
        to[s] ! RESUMED(0, n, e, seal, 0, 0, 0)
    :: awaits[s] == OFFER || awaits[s] == CHOICE ->
        if :: profile = NONE :: profile = V5 :: profile = LATER fi;
        if
        :: awaits[s] == OFFER -> to[s] ! OFFER(profile, 0, 0, 0, 0, 0, 0)
        :: else -> to[s] ! CHOICE(profile, 0, 0, 0, 0, 0, 0)
        fi
    :: awaits[s] == HELLO ->
        pick_from(hellos, seal);
        if :: by = 0 :: by = 1 fi;
        to[s] ! HELLO(0, 0, 0, 0, seal, 0, by)
    fi
}

proctype Attacker() {
    byte profile, n, e, y, seal, who, by;
end:
    do
    :: atomic {
        if
        :: awaits[1] != NOTHING -> attack(1)
        :: awaits[2] != NOTHING -> attack(2)
        :: awaits[3] != NOTHING -> attack(3)
        :: awaits[4] != NOTHING -> attack(4)
        fi;
        profile = 0; n = 0; e = 0; y = 0; seal = 0; who = 0; by = 0
    }
    od
}

/* --- Scenes ----------------------------------------------------------------------------------- */

inline dial(s, from, wanted) { self[s] = from; wants[s] = wanted; run Initiator(s) }
inline listen_at(s, at) { self[s] = at; run Responder(s) }

init {
    atomic {
#ifdef SCENE_PAIR                 /* A dials B, or the attacker, or whoever answers; B is dialled */
        if
        :: dial(1, A, B)
        :: dial(1, A, MALLORY)
        :: dial(1, A, NOBODY)
        fi;
        listen_at(3, B);
#endif
#ifdef SCENE_CROSSING             /* A and B dial each other at once */
        dial(1, A, NOBODY); dial(2, B, NOBODY);
        listen_at(3, B); listen_at(4, A);
#endif
#ifdef SCENE_PARALLEL             /* A dials B twice at once */
        dial(1, A, B); dial(2, A, B);
        listen_at(3, B); listen_at(4, B);
#endif
#ifdef SCENE_DOOR                 /* B has one token left and is dialled twice */
        tokens = 1;
        dial(1, A, B);
        listen_at(3, B); listen_at(4, B);
#endif
#ifdef SCENE_RESUMPTION           /* A resumes a session with B; B is dialled twice, or A as well */
        tickets = BIT(A) | BIT(B);
        dial(1, A, B);
        listen_at(3, B);
        if
        :: listen_at(4, A)
        :: listen_at(4, B)
        fi;
#endif
#ifdef SCENE_NEGOTIATION          /* A dials B; either may allow the 0.8 wire or have met the other */
        if :: allows_legacy = 0 :: allows_legacy = BIT(A) :: allows_legacy = BIT(B)
           :: allows_legacy = BIT(A) | BIT(B) fi;
        if :: met_native = 0 :: met_native = BIT(A) :: met_native = BIT(B)
           :: met_native = BIT(A) | BIT(B) fi;
        dial(1, A, B);
        listen_at(3, B);
#endif
        run Attacker()
    }
}
