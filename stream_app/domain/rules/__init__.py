"""Rules: data that say when a customer is worth a message. Read book.py first."""

from stream_app.domain.rules.book import RuleBook
from stream_app.domain.rules.decision import Action, Because, Decision, HeldBack, Retracted
from stream_app.domain.rules.loader import load_rule
from stream_app.domain.rules.model import AtMost, Pattern, Rule, RuleError
from stream_app.domain.rules.settle import Gate, Proposal, at_most
from stream_app.domain.rules.state import EventRef, Ledger, RulesState

__all__ = [
    "Action",
    "AtMost",
    "Because",
    "Decision",
    "EventRef",
    "Gate",
    "HeldBack",
    "Ledger",
    "Pattern",
    "Proposal",
    "Retracted",
    "Rule",
    "RuleBook",
    "RuleError",
    "RulesState",
    "at_most",
    "load_rule",
]
