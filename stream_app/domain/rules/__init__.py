"""Rules: data that say when a customer is worth a message. Read book.py first."""

from stream_app.domain.rules.book import RuleBook
from stream_app.domain.rules.decision import Action, Because, Decision, HeldBack, Retracted
from stream_app.domain.rules.loader import load_rule
from stream_app.domain.rules.model import AtMost, DueAt, Opens, Pattern, Quiet, Rule, RuleError
from stream_app.domain.rules.sending import SendingPolicy
from stream_app.domain.rules.shadow import Difference, Outcome, Shadow, ShadowState
from stream_app.domain.rules.state import EventRef, Ledger, RulesState

__all__ = [
    "Action",
    "AtMost",
    "Because",
    "Decision",
    "Difference",
    "DueAt",
    "EventRef",
    "HeldBack",
    "Ledger",
    "Opens",
    "Outcome",
    "Pattern",
    "Quiet",
    "Retracted",
    "Rule",
    "RuleBook",
    "RuleError",
    "RulesState",
    "SendingPolicy",
    "Shadow",
    "ShadowState",
    "load_rule",
]
