"""Read the grammar and draw sentences from it."""

import random
import re
from functools import cache
from pathlib import Path

from hdnn_nnet.errors import HdnnError

GRAMMAR_FILE = Path(__file__).with_name("grammar.txt")

Alternative = tuple[float, tuple[str, ...]]  # weight, items


class Grammar:
    """A weighted context-free grammar; the file's head explains its notation."""

    def __init__(self, text: str, name: str = "grammar") -> None:
        self.rules = _parse(text, name)
        for rule, alternatives in self.rules.items():
            for _, items in alternatives:
                for item in items:
                    if _is_rule(item) and item.strip("[]<>") not in self.rules:
                        raise HdnnError(f"{name}: rule {rule!r} uses {item}, which is not defined; define it")

    def draw(self, rng: random.Random, rule: str, instead: dict[str, tuple[str, float]] | None = None) -> list[str]:
        """Draw the terminals of `rule`. `instead` maps a rule to (another rule, probability of taking that one)."""
        if instead and rule in instead and rng.random() < instead[rule][1]:
            rule = instead[rule][0]
        alternatives = self.rules[rule]
        (_, items) = rng.choices(alternatives, weights=[weight for weight, _ in alternatives])[0]
        words: list[str] = []
        for item in items:
            if item.startswith("["):
                if rng.random() < 0.5:
                    continue
                item = item[1:-1]
            words += self.draw(rng, item[1:-1], instead) if _is_rule(item) else [item]
        return words

    def terminals(self, rule: str | None = None) -> set[str]:
        """Words that may occur, in one rule (not its sub-rules) or in all."""
        chosen = self.rules.values() if rule is None else [self.rules[rule]]
        return {i.strip("[]") for alternatives in chosen for _, items in alternatives for i in items if not _is_rule(i)}


def _is_rule(item: str) -> bool:
    return item.strip("[]").startswith("<")


def _parse(text: str, name: str) -> dict[str, list[Alternative]]:
    rules: dict[str, list[Alternative]] = {}
    current = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("#", 1)[0].rstrip()
        if not line.strip():
            continue
        match = re.match(r"(\w+)\s*=(.*)", line)
        if match:
            current, line = match.group(1), match.group(2)
            rules[current] = []
        elif not line[0].isspace() or not current:
            raise HdnnError(f"{name}:{number}: expected 'name = alternatives' or an indented line")
        for alternative in filter(None, map(str.strip, line.split("|"))):
            weighted = re.match(r"([0-9.]+)\*\s+(.*)", alternative)
            weight, items = (float(weighted.group(1)), weighted.group(2)) if weighted else (1.0, alternative)
            # A bracketed option is one rule or one word, so splitting at spaces is enough.
            rules[current].append((weight, tuple(item for item in items.split() if item != "-")))
    empty = [rule for rule, alternatives in rules.items() if not alternatives]
    if empty:
        raise HdnnError(f"{name}: rule {empty[0]!r} has no alternatives")
    return rules


@cache
def meeting_grammar() -> Grammar:
    """The grammar of grammar.txt."""
    return Grammar(GRAMMAR_FILE.read_text(encoding="utf-8"), GRAMMAR_FILE.name)
