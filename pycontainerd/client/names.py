"""Names for containers nobody named: a quality and a person of computing, as Docker does it with lists of its own."""

from __future__ import annotations

import os

_QUALITIES = """
able agile amber apt balmy bold brave bright brisk calm candid careful civil clear clever cordial crisp daring deft
eager early earnest elated exact fair fearless fine firm fleet fond frank fresh gallant generous gentle glad golden
grand happy hardy honest humble jolly jovial keen kind lively loyal lucid lucky mellow merry mild modest neat nimble
noble patient plucky polite prompt proud quick quiet ready robust sage serene sharp silent simple sincere smart
smooth sober solid sound spry stable steady stoic sunny swift tidy trusty upbeat valiant vivid warm wise witty zesty
""".split()
_PEOPLE = """
adleman aho allen babbage backus bartik boole booth brooks cerf church codd cohen conway cook curry diffie dijkstra
eckert engelbart feinler floyd goldberg goldwasser granville gray hamilton hamming hejlsberg hellman hennessy hoare
holberton hopper huffman hypatia ichbiah iverson kahan kahn karp kay kernighan kilby kleene knuth kowalski lamarr
lamport lampson leibniz liskov lovelace mauchly mccarthy meltzer metcalfe micali milner minsky moore naur newell
noether noyce pascal patterson perlis perlman postel rabin ritchie rivest saltzer scott shamir shannon shaw simon
spence stallman steele stroustrup sussman sutherland tarjan thompson torvalds turing ulam valiant wilkes wilkinson
yao zadeh zuse
""".split()


def random_name(attempt: int = 0) -> str:
    """A name such as ``brisk_hopper``; after a few taken ones, with a digit behind it."""
    pick = int.from_bytes(os.urandom(6), "big")
    pick, quality = divmod(pick, len(_QUALITIES))
    pick, person = divmod(pick, len(_PEOPLE))
    name = f"{_QUALITIES[quality]}_{_PEOPLE[person]}"
    return name + str(pick % 10) if attempt > 2 else name
