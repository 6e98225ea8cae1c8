/*
 * The handshake of the native wire (docs/protocol.md, sections 3 to 6 and 8) against an attacker who
 * is the network: it hears everything, and says to anybody what it can make of that. README.md says
 * what is bounded and what is left out; scripts/model.py has the cases, and runs them.
 *
 * Cryptography is symbolic. What is drawn at random is a symbol: a small number. A hash is what was
 * hashed, packed into an integer, so two hashes are the same only if all of it is the same.
 */

/* --- A case is a scene, powers of the attacker, what is left out, and what is watched ------------ */

#define SCENE_PAIR 1              /* A dials B, or the attacker, or whoever answers; B is dialled */
#define SCENE_OFFER 2             /* A dials B; what was offered may be changed on the way */
#define SCENE_BOTH 3              /* A dials B, or whoever answers; A and B are dialled */
#define SCENE_CROSSING 4          /* A and B dial each other at once */
#define SCENE_TWICE 5             /* A dials B twice at once */
#define SCENE_DOOR 6              /* B has one token left; A dials it, and it is dialled twice */
#define SCENE_RESUMPTION 7        /* A goes on with B, or B with A; B is dialled twice, or A as well */
#define SCENE_DIALLING 8          /* A dials B twice at once, and may open one wrong answer; B is dialled */

#define INSIDER 1                 /* knows the passphrase, and has an identity of its own */
#define STOLEN_IDENTITY 2         /* has the identity key of A */
#define STOLEN_SESSION 4          /* takes all keys of one session that stands */

#define NO_OFFER 1                /* h0 does not hold what was offered and chosen */
#define NO_SWALLOWED 2            /* h0 after 00 does not hold the resumption */
#define NO_FRESH 3                /* ck comes from the passphrase alone, without fresh keys */
#define NO_ISK 4                  /* ck comes from X25519 and ML-KEM alone, without CPace */
#define NO_CPACE 5                /* the passphrase goes into ck as it is */
#define NO_LOW_ORDER 6            /* shares of low order are taken */
#define NO_SEAL 7                 /* proofs travel in the clear */
#define NO_SIGNATURE 8            /* an identity is proved by a key that both ends can compute */
#define NO_TRANSCRIPT 9           /* a signature covers the statement alone */
#define NO_SIGNER 10              /* the key that signed is not compared with the one stated */
#define NO_SELF 11                /* a peer with one's own identity is taken */
#define NO_EXPECTED 12            /* an identity other than the one dialled is taken */
#define NO_ORDER 13               /* M3 goes out before it is judged who answered */
#define NO_PROFILE 14             /* the profile of small radio links is taken on every link */
#define NO_TOKEN 15               /* a token is taken when M3 fails, not when M1 is answered */
#define NO_TICKET_ROLE 16         /* both ends show the same ticket with the same binder */
#define NO_BINDER 17              /* whoever has seen a ticket may show it */
#define NO_BINDER_FIRST 18        /* a ticket is burnt before its binder is looked at */
#define NO_BURN 19                /* a ticket stays good after it was used */
#define NO_SECRET 20              /* ck of a resumption is made without rs */
#define NO_RATION 21              /* who dials opens any number of answers, one wrong one after the other */
#define NO_ROLE 22                /* neither seals nor signatures say whose they are */
#define NO_REFLECTED 23           /* nonce, key and share of one's own are taken */

#define AGREEMENT 1               /* both ends name each other and saw the same */
#define AUTHENTIC 2               /* the peer is whom one dialled, not oneself, and no outsider */
#define SECRECY 4                 /* the attacker has no key of a session between honest ends */
#define PRIVACY 8                 /* no outsider learns an identity; who dials shows itself to its peer alone */
#define REPLAY 16                 /* what was said once makes no second session */
#define REFLECTION 32             /* what was said by oneself makes no session */
#define DOWNGRADE 64              /* the best offer, and the profile of the link */
#define ONE_GUESS 128             /* an answer tests one guess; answering and dialling are rationed */
#define THEFT 256                 /* a ticket is burnt by its owner alone */
#define NEVER_DONE 512            /* not all honest ends get through: false, and to be found false */
#define NEVER_RESUMED 1024        /* no resumption gets through: likewise */

hidden byte scene, powers, without;
hidden int watched;
#define OFF(check) (without == check)
#define HAS(power) (powers & power)
#define DOOR (scene == SCENE_DOOR)
#define DIALLING (scene == SCENE_DIALLING)

/* --- Terms ------------------------------------------------------------------------------------- */

/* An end of a connection is a strand: 1 and 2 dial, 3 and 4 are dialled. Nonce, keys and share that
 * strand s draws are symbol s each; nonce and key of its resumption are symbol FIRST_OF(s). */
#define STRANDS 5
#define DIALS(s) ((s) < 3)
#define BIT(s) (1 << (s))
#define FIRST_OF(s) ((s) + 4)
#define LOW 0                     /* a share of low order: whoever takes it comes to a known ISK */
#define GUESS_1 5                 /* a share that the attacker made for one wrong guess, or for another */
#define GUESS_2 6
#define EVIL 7                    /* symbol, seal or signature of the attacker's own */

#define NOBODY 0                  /* identities */
#define A 1
#define B 2
#define MALLORY 3
#define HONEST(who) ((who) == A || (who) == B)
#define OTHER(who) ((who) == A -> B : A)
#define IS_STOLEN(who) (HAS(STOLEN_IDENTITY) && (who) == A)

#define BEST 1                    /* what was offered and chosen before the first byte of ours */
#define SPOILT 2                  /* anything else */

#define HYBRID 1                  /* profiles */
#define RADIO 2
#define RESUME 3

mtype = { M1, M2, M3, RESUMPTION, RESUMED, UNKNOWN };
#define NOTHING 0

/* A transcript, 31 bits: offer 2, resumption that went before 3, M1 (profile 2, nonce, key, share 3
 * each), M2 (3 each), identity in sealed_2 and in sealed_3, 2 each. RESUMED is M2 without a share. */
#define H1(offer, before, profile, n, e, y) \
    ((offer) | (before) << 4 | (profile) << 7 | (n) << 9 | (e) << 12 | (y) << 15)
#define H2(h, n, e, y) ((h) | (n) << 18 | (e) << 21 | (y) << 24)
#define H3(h, who) ((h) | (who) << 27)
#define H4(h, who) ((h) | (who) << 29)
#define UP_TO_H1(h) ((h) & ((1 << 18) - 1))
#define UP_TO_H2(h) ((h) & ((1 << 27) - 1))
#define UP_TO_H3(h) ((h) & ((1 << 29) - 1))
#define OFFER_IN(h) ((h) & 3)
#define PROFILE_IN(h) ((h) >> 7 & 3)
#define KEY_IN_M1(h) ((h) >> 12 & 7)
#define SHARE_IN_M1(h) ((h) >> 15 & 7)

/* What of that is hashed; the properties are about all of it. ck lists what its secrets come from. */
#define HASHED(h) ((h) & ~((OFF(NO_OFFER) -> 3 : 0) | (OFF(NO_SWALLOWED) -> 7 << 4 : 0)))
#define CK(h) (OFF(NO_FRESH) -> 1 : HASHED(h))

/* The transcript before a proof, which it signs and is sealed with: at its maker, and at its judge */
#define PROVED_BY(s) (DIALS(s) -> UP_TO_H3(saw[s]) : UP_TO_H2(saw[s]))
#define PROVED_TO(s) (DIALS(s) -> UP_TO_H2(saw[s]) : UP_TO_H3(saw[s]))

/* The secrets of ck that the attacker knows, by what an honest end took for the peer's */
#define KNOWS_DH(e) ((e) == EVIL)
#define KNOWS_ISK(y) (OFF(NO_ISK) || (y) == LOW || (HAS(INSIDER) && (y) == EVIL))
#define KNOWS_RS OFF(NO_SECRET)
#define IS_TRIED_BY(guess, y) (OFF(NO_CPACE) || (y) == (guess))

/* --- State ------------------------------------------------------------------------------------- */

/* The honest ends */
byte self[STRANDS];               /* whose strand it is; NOBODY = it takes no part */
byte wants[STRANDS];              /* whom it dials; NOBODY = whoever answers */
byte peer[STRANDS];               /* whom it accepted */
mtype awaits[STRANDS];
int saw[STRANDS];                 /* all that was said, as this end saw it */
int ck[STRANDS];
bool accepted[STRANDS];

/* The attacker's knowledge, a bit for each strand or symbol. Nothing that was said is forgotten. */
byte symbols;                     /* nonces, keys and shares */
byte seals;                       /* the strand's sealed proof */
byte opened;                      /* identity and signature in it */
byte leaked;                      /* ck */
int stolen;                       /* the one ck that was taken */

/* The door of B, what A may open when it dials, and what the attacker tried there */
#define TOKENS 1
#define OPENINGS 1
byte tokens = TOKENS;
byte openings = OPENINGS;
byte tries;                       /* answers to a key of the attacker */
byte tested;                      /* guesses now known to be wrong, a bit for each */
#define COUNT_TESTED ((tested >> GUESS_1 & 1) + (tested >> GUESS_2 & 1))

/* Tickets of an earlier session of A and B, by who may show it: good until burnt */
byte tickets;

int violated;                     /* properties */
#define MUST(property, condition) violated = violated | ((condition) -> 0 : property)
#define CHECK assert(!(violated & watched))

chan to[STRANDS] = [0] of { mtype, byte, byte, byte, byte, byte, byte };

/* What an honest end thinks of within one step, and so is no state */
hidden byte rn, re, ry, rseal, rwho, rby, rprofile, stated, signer, owner, is_good, is_mutual, i;

/* --- What honest ends check -------------------------------------------------------------------- */

/* Hang up. What was sealed before stays known to the attacker; the rest is forgotten. */
inline refuse(s) {
    awaits[s] = NOTHING;
    if
    :: (seals & BIT(s)) -> skip
    :: else -> saw[s] = 0; ck[s] = 0; leaked = leaked & ~BIT(s)
    fi
}

/* Make ck of the transcript, and note whether the attacker can make it as well. */
inline derive(s, knows_all) {
    ck[s] = CK(saw[s]);
    if
    :: (knows_all) || (stolen && ck[s] == stolen) -> leaked = leaked | BIT(s)
    :: else
    fi
}

inline seal_proof(s) {
    seals = seals | BIT(s);
    opened = opened | (OFF(NO_SEAL) -> BIT(s) : leaked & BIT(s))
}

/* Take no share of low order, and nothing of one's own. */
inline screen(s, n, e, y) {
    is_good = OFF(NO_LOW_ORDER) || y != LOW;
    is_good = is_good && (OFF(NO_REFLECTED) || (n != s && e != s && y != s))
}

/* An answer that does not open shows that the guess which its share was made for is wrong. */
inline give_away(y) {
    openings = (openings -> openings - 1 : 0);
    tested = tested | (y == GUESS_1 || y == GUESS_2 -> BIT(y) : 0);
    MUST(ONE_GUESS, COUNT_TESTED <= OPENINGS)
}

/* Open and check a proof: sealed by strand `seal`, or by the attacker, who states `who` and shows
 * the signature that strand `by` made, or one of its own. */
inline verify(s, seal, who, by) {
    if
    :: seal == EVIL -> is_good = OFF(NO_SEAL) || (leaked & BIT(s)); stated = who; signer = by
    :: else ->
        is_good = OFF(NO_SEAL) || (ck[seal] == ck[s] && HASHED(PROVED_BY(seal)) == HASHED(PROVED_TO(s))
                                   && (OFF(NO_ROLE) || DIALS(seal) != DIALS(s)));
        stated = self[seal]; signer = seal
    fi;
    if
    :: signer == EVIL ->
        signer = (IS_STOLEN(stated) || (OFF(NO_SIGNATURE) && IS_STOLEN(self[s])) -> stated : MALLORY)
    :: else ->
        is_good = is_good && (OFF(NO_TRANSCRIPT) || (HASHED(PROVED_BY(signer)) == HASHED(PROVED_TO(s))
                                                     && (OFF(NO_ROLE) || DIALS(signer) != DIALS(s))));
        signer = self[signer]
    fi;
    is_good = is_good && (OFF(NO_SIGNER) || signer == stated) && (OFF(NO_SELF) || stated != self[s])
}

/* A session stands at strand s with `who`: what must hold between it and every other strand. */
inline accept(s, who) {
    d_step {
        peer[s] = who; accepted[s] = 1; awaits[s] = NOTHING;
        is_mutual = 0; i = 1;
        do
        :: i == STRANDS -> break
        :: i < STRANDS && (i == s || self[i] == NOBODY || !saw[i]) -> i++
        :: else ->
            is_mutual = is_mutual || (self[i] == who && DIALS(i) != DIALS(s)
                && UP_TO_H3(saw[i]) == UP_TO_H3(saw[s]) && ck[i] == ck[s]
                && (DIALS(s) -> !accepted[i] : accepted[i] && peer[i] == self[s] && saw[i] == saw[s]));
            if
            :: accepted[i] && ck[i] == ck[s] && HASHED(saw[i]) == HASHED(saw[s]) ->
                MUST(REPLAY, DIALS(i) != DIALS(s))
            :: else
            fi;
            i++
        od;
        MUST(AUTHENTIC, who != self[s] && (who != MALLORY || HAS(INSIDER))
                        && (!DIALS(s) || wants[s] == NOBODY || wants[s] == who));
        MUST(DOWNGRADE, PROFILE_IN(saw[s]) == HYBRID);
        if
        :: HONEST(who) && !IS_STOLEN(who) ->
            MUST(AGREEMENT, is_mutual);
            MUST(SECRECY, !(leaked & BIT(s)));
            MUST(DOWNGRADE, OFFER_IN(saw[s]) == BEST);
            note_end(s)
        :: else
        fi
    }
}

/* Did every end that dials get through to a peer? */
inline note_end(s) {
    MUST(NEVER_DONE, DIALS(s) || (self[1] != NOBODY && !DIALLING && !accepted[1])
                     || (self[2] != NOBODY && !DIALLING && !(accepted[2] && accepted[3] && accepted[4])))
}

/* --- Resumption -------------------------------------------------------------------------------- */

/* The first message of strand s that resumes, as said */
#define SAID(s) H1(BEST, 0, RESUME, FIRST_OF(s), FIRST_OF(s), self[s])

/* Is the ticket of `whose` good here, and did its owner say just this, as the binder of `by` shows? */
inline judge_ticket(s, whose, by) {
    owner = OTHER(self[s]);
    is_good = (tickets & BIT(owner)) && (OFF(NO_TICKET_ROLE) || whose == owner);
    if
    :: is_good && OFF(NO_BINDER_FIRST) ->
        tickets = tickets & ~BIT(owner); MUST(THEFT, by != EVIL && SAID(by) == saw[s])
    :: else
    fi;
    is_good = is_good && (OFF(NO_BINDER) || (by != EVIL && HASHED(SAID(by)) == HASHED(saw[s])
                                             && (OFF(NO_TICKET_ROLE) || self[by] == owner)))
}

inline accept_resumed(s) {
    d_step {
        peer[s] = OTHER(self[s]); accepted[s] = 1; awaits[s] = NOTHING;
        is_mutual = 0; i = 1;
        do
        :: i == STRANDS -> break
        :: i < STRANDS && (i == s || self[i] == NOBODY) -> i++
        :: i < STRANDS && i != s && self[i] != NOBODY && DIALS(i) == DIALS(s) ->
            MUST(REPLAY, !accepted[i] || UP_TO_H1(saw[i]) != UP_TO_H1(saw[s]));
            i++
        :: else ->
            is_mutual = is_mutual || (self[i] == peer[s]
                && (DIALS(s) -> accepted[i] && saw[i] == saw[s] && ck[i] == ck[s] : SAID(i) == UP_TO_H1(saw[s])));
            MUST(REFLECTION, DIALS(s) || self[i] != self[s] || SAID(i) != UP_TO_H1(saw[s]));
            i++
        od;
        MUST(AGREEMENT, is_mutual);
        MUST(SECRECY, !(leaked & BIT(s)));
        MUST(NEVER_RESUMED, !DIALS(s))
    }
}

/* --- The end that dials ------------------------------------------------------------------------ */

inline say_m1(s, before) {
    saw[s] = H1(BEST, before, HYBRID, s, s, s); symbols = symbols | BIT(s); awaits[s] = M2
}

proctype Initiator(byte s) {
    atomic {
        if
        :: awaits[s] == RESUMED ->
            if
            :: to[s] ? RESUMED(_, rn, re, _, rseal, _) -> goto resumed
            :: to[s] ? UNKNOWN(_, _, _, _, _, _) -> say_m1(s, FIRST_OF(s))
            fi
        :: else
        fi
    };
    atomic {
        to[s] ? M2(rn, re, ry, rseal, rwho, rby);
        screen(s, rn, re, ry);
        if
        :: !is_good || (DIALLING && !OFF(NO_RATION) && !openings) -> refuse(s); goto done
        :: else
        fi;
        saw[s] = H2(saw[s], rn, re, ry);
        derive(s, KNOWS_DH(re) && KNOWS_ISK(ry));
        verify(s, rseal, rwho, rby);
        if
        :: !is_good && DIALLING -> give_away(ry); CHECK
        :: else
        fi;
        if
        :: is_good && OFF(NO_ORDER) && (leaked & BIT(s)) ->
            MUST(PRIVACY, wants[s] == NOBODY || wants[s] == stated); CHECK
        :: else
        fi;
        if
        :: !(is_good && (OFF(NO_EXPECTED) || wants[s] == NOBODY || wants[s] == stated)) ->
            refuse(s); goto done
        :: else
        fi;
        saw[s] = H4(H3(saw[s], stated), self[s]);
        seal_proof(s);
        MUST(PRIVACY, !(opened & BIT(s)) || wants[s] == MALLORY || (wants[s] == NOBODY && stated == MALLORY));
        accept(s, stated);
        CHECK;
        goto done;

resumed:
        saw[s] = H2(SAID(s), rn, re, 0);
        derive(s, KNOWS_DH(re) && KNOWS_RS);
        is_good = (rseal == EVIL -> leaked & BIT(s) : ck[rseal] == ck[s]);
        is_good = is_good && (OFF(NO_REFLECTED) || re != FIRST_OF(s));
        if
        :: is_good -> accept_resumed(s); CHECK
        :: else -> refuse(s)
        fi;
done:   skip
    }
}

/* --- The end that is dialled ------------------------------------------------------------------- */

proctype Responder(byte s) {
    byte offer = BEST, before;

    atomic {
        if
        :: scene == SCENE_OFFER -> offer = SPOILT
        :: skip
        fi;
        if
        :: to[s] ? M1(rprofile, rn, re, ry, _, _)
        :: to[s] ? RESUMPTION(rwho, rn, re, rby, _, _) ->
            saw[s] = H1(offer, 0, RESUME, rn, re, rwho);
            judge_ticket(s, rwho, rby);
            CHECK;
            if
            :: is_good -> goto resumed
            :: else
            fi;
            before = (rby != EVIL && SAID(rby) == saw[s] -> FIRST_OF(rby) : EVIL);
            saw[s] = 0; awaits[s] = M1;
            to[s] ? M1(rprofile, rn, re, ry, _, _)
        fi;
        screen(s, rn, re, ry);
        is_good = is_good && (OFF(NO_PROFILE) || rprofile == HYBRID) && (!DOOR || tokens);
        if
        :: !is_good -> offer = 0; before = 0; refuse(s); goto done
        :: else
        fi;
        tokens = tokens - (DOOR && !OFF(NO_TOKEN) -> 1 : 0);
        tries = tries + (DOOR && re == EVIL -> 1 : 0);
        saw[s] = H2(H1(offer, before, rprofile, rn, re, ry), s, s, s);
        offer = 0; before = 0;
        derive(s, KNOWS_DH(re) && KNOWS_ISK(ry));
        saw[s] = H3(saw[s], self[s]);
        symbols = symbols | BIT(s);
        seal_proof(s);
        MUST(PRIVACY, !(opened & BIT(s)) || HAS(INSIDER));
        CHECK;
        awaits[s] = M3
    };
    atomic {
        to[s] ? M3(_, _, _, rseal, rwho, rby);
        verify(s, rseal, rwho, rby);
        if
        :: is_good ->
            tokens = tokens + (DOOR && !OFF(NO_TOKEN) -> 1 : 0);
            saw[s] = H4(saw[s], stated);
            accept(s, stated);
            CHECK
        :: else ->
            tokens = tokens - (DOOR && OFF(NO_TOKEN) && tokens -> 1 : 0);
            refuse(s)
        fi;
        goto done;

resumed:
        tickets = (OFF(NO_BURN) -> tickets : tickets & ~BIT(owner));
        saw[s] = H2(saw[s], s, s, 0);
        derive(s, KNOWS_DH(re) && KNOWS_RS);
        symbols = symbols | BIT(s); seals = seals | BIT(s);
        offer = 0;
        accept_resumed(s);
        CHECK;
done:   skip
    }
}

/* --- The attacker ------------------------------------------------------------------------------ */

hidden byte n, e, y, seal, who, by, profile, target, guess;

/* Any nonce, key or share that was sent by anybody, or one of its own */
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

/* Where two ends dial, nonce and key come from the same end; where one resumes, so do nonce, key and
 * share: else there is too much to search. */
inline pick_nonce_and_key() {
    pick(e);
    if
    :: self[2] != NOBODY || scene == SCENE_RESUMPTION -> n = e
    :: else -> pick(n)
    fi
}

inline pick_share() {
    if
    :: scene == SCENE_RESUMPTION -> y = e
    :: scene != SCENE_RESUMPTION -> pick(y)
    :: y = LOW
    :: DOOR || DIALLING -> y = GUESS_1
    :: DOOR || DIALLING -> y = GUESS_2
    fi
}

/* Something that one of the strands in `known` made, or of its own */
inline pick_from(known, made) {
    if
    :: (known & BIT(1)) -> made = 1
    :: (known & BIT(2)) -> made = 2
    :: (known & BIT(3)) -> made = 3
    :: (known & BIT(4)) -> made = 4
    :: made = EVIL
    fi
}

/* Any sealed proof, or one made of a stated identity and a signature that it has */
inline pick_proof() {
    who = 0; by = 0;
    pick_from(seals, seal);
    if
    :: seal == EVIL ->
        if :: who = A :: who = B :: who = MALLORY fi;
        pick_from(opened, by)
    :: else
    fi
}

/* Say to a strand something of the kind that it waits for. Saying nothing is always possible. */
inline say() {
    if
    :: awaits[target] == M1 || awaits[target] == RESUMPTION ->
        if :: profile = HYBRID :: scene != SCENE_RESUMPTION -> profile = RADIO fi;
        pick_nonce_and_key(); pick_share();
        printf("to %d: M1 profile %d nonce %d key %d share %d\n", target, profile, n, e, y);
        to[target] ! M1(profile, n, e, y, 0, 0)
    :: awaits[target] == M2 ->
        pick_nonce_and_key(); pick_share(); pick_proof();
        printf("to %d: M2 nonce %d key %d share %d, seal of %d, states %d, signature of %d\n",
               target, n, e, y, seal, who, by);
        to[target] ! M2(n, e, y, seal, who, by)
    :: awaits[target] == M3 ->
        pick_proof();
        printf("to %d: M3 seal of %d, states %d, signature of %d\n", target, seal, who, by);
        to[target] ! M3(0, 0, 0, seal, who, by)
    :: awaits[target] == RESUMPTION ->
        if :: who = A :: who = B fi;
        pick_nonce_and_key(); pick_from((symbols >> 4), by);
        printf("to %d: resumption, ticket of %d, nonce %d key %d, binder of %d\n", target, who, n, e, by);
        to[target] ! RESUMPTION(who, n, e, by, 0, 0)
    :: awaits[target] == RESUMED ->
        printf("to %d: 00\n", target);
        to[target] ! UNKNOWN(0, 0, 0, 0, 0, 0)
    :: awaits[target] == RESUMED ->
        pick_nonce_and_key(); pick_from(seals, seal);
        printf("to %d: resumed, nonce %d key %d, seal of %d\n", target, n, e, seal);
        to[target] ! RESUMED(0, n, e, 0, seal, 0)
    fi
}

/* Take all keys of a session that stands. */
inline steal() {
    d_step {
        printf("steals the keys of %d\n", target);
        stolen = ck[target]; i = 1;
        do
        :: i == STRANDS -> break
        :: i < STRANDS && ck[i] == stolen ->
            leaked = leaked | BIT(i); opened = opened | (seals & BIT(i)); i++
        :: else -> i++
        od
    }
}

proctype Attacker() {
end:
    do
    :: atomic {
        if :: target = 1 :: target = 2 :: target = 3 :: target = 4 fi;
        awaits[target] != NOTHING;
        say()
    }
    :: atomic {
        HAS(STOLEN_SESSION) && !stolen;
        if :: target = 3 :: target = 4 fi;
        accepted[target] && HONEST(peer[target]);
        steal()
    }
    :: atomic {                   /* try a guess at the passphrase on an answer of B */
        DOOR;
        if :: target = 3 :: target = 4 fi;
        if :: guess = GUESS_1 :: guess = GUESS_2 fi;
        ((seals & BIT(target)) && KEY_IN_M1(saw[target]) == EVIL
            && IS_TRIED_BY(guess, SHARE_IN_M1(saw[target])) && !(tested & BIT(guess)));
        printf("tests guess %d on the answer of %d\n", guess, target);
        tested = tested | BIT(guess);
        MUST(ONE_GUESS, COUNT_TESTED <= tries && COUNT_TESTED <= TOKENS);
        CHECK
    }
    od
}

/* --- Scenes ------------------------------------------------------------------------------------ */

inline dial(s, from, wanted) { self[s] = from; wants[s] = wanted; say_m1(s, 0); run Initiator(s) }
inline listen(s, at) { self[s] = at; awaits[s] = M1; run Responder(s) }
inline resume(s, from) {
    self[s] = from; wants[s] = OTHER(from); symbols = symbols | BIT(FIRST_OF(s)); awaits[s] = RESUMED;
    run Initiator(s)
}
inline listen_for_tickets(s, at) { self[s] = at; awaits[s] = RESUMPTION; run Responder(s) }

init {
    atomic {
        c_code {
            scene = atoi(getenv("SCENE"));
            powers = atoi(getenv("POWERS"));
            without = atoi(getenv("WITHOUT"));
            watched = atoi(getenv("WATCHED"));
        };
        if
        :: scene == SCENE_PAIR ->
            if :: dial(1, A, B) :: dial(1, A, MALLORY) :: dial(1, A, NOBODY) fi;
            listen(3, B)
        :: scene == SCENE_OFFER -> dial(1, A, B); listen(3, B)
        :: scene == SCENE_BOTH ->
            if :: dial(1, A, B) :: dial(1, A, NOBODY) fi;
            listen(3, B); listen(4, A)
        :: scene == SCENE_CROSSING -> dial(1, A, B); dial(2, B, A); listen(3, B); listen(4, A)
        :: scene == SCENE_TWICE -> dial(1, A, B); dial(2, A, B); listen(3, B); listen(4, B)
        :: scene == SCENE_DOOR -> dial(1, A, B); listen(3, B); listen(4, B)
        :: scene == SCENE_DIALLING -> dial(1, A, B); dial(2, A, B); listen(3, B)
        :: scene == SCENE_RESUMPTION ->
            tickets = BIT(A) | BIT(B);
            if :: resume(1, A) :: resume(1, B) fi;
            listen_for_tickets(3, B);
            if :: listen_for_tickets(4, A) :: listen_for_tickets(4, B) fi
        fi;
        run Attacker()
    }
}
