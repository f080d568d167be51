"""What the Align tab says of votes, runs and what came of them, as short HTML. Pure functions, no gradio."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from huvidpo_core.config import Action
from huvidpo_core.engine import BEGINNING, GOOD, REWARDS, Lora, RatedStock, RunState, Stock
from huvidpo_core.ui import words
from huvidpo_core.ui.run_words import Row, many

KTO = "kto"  # the loss that learns from clips rated alone
NO_RUNS = "No training yet. It appears here, and stays here, when you press Align."
NOTHING_TO_SHOW = (
    '<div class="hv-stage hv-empty"><div><b>Your training will be followed here</b><span class="hv-of-clips">'
    "Rate pairs of clips in Prefer, then press Align. The next clips are then more to your taste.</span>"
    '<span class="hv-of-pictures">Press Four to choose from in Create and choose the first frame that you like best, '
    "several times over, then press Align. The next first frames are then more to your taste.</span></div></div>"
)  # of the two, align.css shows the one that goes with the form


def supply_words(stock: Stock, title: str, whose: Sequence[str]) -> str:
    """How much there is to learn from, and whether that is enough."""
    by = f" by {several(whose)}" if whose else ""
    if not stock.pairs:
        return words.message(f"No votes on {title}{by} yet. Rate some pairs in Prefer first.")
    judged = f"{many(stock.pairs, 'judged pair')}{by}, {stock.decided} with a better clip"
    if not stock.enough and stock.disputed:
        said = "The raters contradict each other: choose whose votes are to count"
    elif not stock.enough:
        said = "Nothing can be learned from ties alone: rate some more"
    elif stock.decided < BEGINNING:
        said = f"That is little; {BEGINNING} are a beginning"
    elif stock.decided < GOOD:
        said = f"Enough to begin with; {GOOD} are good"
    else:
        said = "That is plenty"
    split = f", {stock.disputed} on which raters disagree" if stock.disputed else ""
    return words.message(f"{judged}{split}. {said}.")


def rated_words(stock: RatedStock, title: str, whose: Sequence[str]) -> str:
    """The same of clips that were rated alone."""
    by = f" by {several(whose)}" if whose else ""
    if not stock.rated:
        return words.message(f"No rated clips of {title}{by} yet. Rate some in Create: good 4 or 5, bad 1 or 2.")
    if not stock.enough:
        lacks = "good ones: rate some 4 or 5" if stock.bad else "bad ones: rate some 1 or 2"
        said = f"It takes {lacks}" if stock.good or stock.bad else "None is good (4, 5) or bad (1, 2)"
    elif min(stock.good, stock.bad) < BEGINNING // 2:
        said = f"That is little; {BEGINNING // 2} of each are a beginning"
    else:
        said = "Enough to begin with" if min(stock.good, stock.bad) < GOOD // 2 else "That is plenty"
    return words.message(f"{many(stock.rated, 'rated clip')}{by}, {stock.good} good and {stock.bad} bad. {said}.")


def settings_words(settings: Any) -> str:
    """What a preset says besides what the form shows."""
    facts = (
        f"rank {settings.lora.rank}",
        f"a batch of {settings.batch}",
        f"{settings.held_out:.0%} held out",
        f"a check every {settings.check_every} steps",
    )
    return words.hint(f"{', '.join(facts).capitalize()}.")


def row(name: str, asked: Mapping[str, Any], state: RunState, actions: Mapping[str, Action], left: int = 0) -> Row:
    """A run in the list, by its folder's name, what was asked for and where it stands; `left` pairs of its round are
    to be judged."""
    about = f"{asked['name']} · {words.when(asked.get('created', 0))}"
    waits = f"{many(left, 'pair')} to judge" if left else ""
    return Row(name, action_title(asked, actions), about, state, waits)


def facts(asked: Mapping[str, Any], beta: float, unheld: bool = False) -> list[str]:
    """What a run was asked for; `beta` is what was measured; `unheld`: its checks have nothing that was held out."""
    settings, what = asked["settings"], "ratings" if "good" in asked else "votes"
    what = "choices" if "choices" in asked else what
    dpo = asked.get("kind") == "picture" and settings["loss"] == "huvidpo"  # with one picture for a frame the same
    return [
        f"{what} of {several(asked['raters'])}" if asked.get("raters") else f"everybody's {what}",
        _learned(asked),
        *(["none held back: too few, so that no check can end it for what it learns"] if unheld else []),
        "Diffusion-DPO on pictures" if dpo else f"{settings['loss']} loss",
        _beta(settings, beta),
        f"learning rate {settings['lr']:g}",
        f"rank {settings['lora']['rank']}",
        f"begun {words.when(asked.get('created', 0))}",
    ]


def _beta(settings: Mapping[str, Any], measured: float) -> str:
    if not (beta := measured or settings["beta"]):
        return "beta is measured"
    how = "measured; " if measured and not settings["beta"] else ""
    return f"beta {beta:.4g} ({how}reward: {REWARDS[settings['loss']]})"


def loras_table(loras: Sequence[Lora], moves: bool = True) -> str:
    """What is known of each: its figures, what it was made from; of an action, or of those that draw first frames."""
    if not loras:
        none = "No LoRA for this action yet. Align makes one; or upload one."
        return f'<p class="hv-nothing">{none if moves else "No LoRA for first frames yet. Align makes one."}</p>'
    rows = "".join(f"<tr><td><b>{escape(lora.name)}</b></td>{_known(lora)}</tr>" for lora in loras)
    heads = "<th>Name</th><th>Made from</th><th>Held out</th><th>Blind round</th><th>Size</th>"
    return (
        f'<div class="hv-votes"><div class="hv-wide-table"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></div>"
    )


def lora_link(file: Path) -> str:
    """A link that saves a LoRA."""
    name = escape(file.name, quote=True)
    return f'<a class="hv-button" href="{words.url(file)}" download="{name}">{name}</a>'


def _known(lora: Lora) -> str:
    card = lora.card
    counted, merged, tried = card.get("pairs") or card.get("singles"), card.get("merged"), card.get("blind_round") or {}
    made = "not known"
    if merged:
        made = " + ".join(f"{part['weight']:g} x {part['name']}" for part in merged)
    elif counted:
        what = many(counted["trained"] + counted["held_out"], "pair" if "pairs" in card else "rated clip")
        made = f"{what}, {card.get('best_step', 0)} steps"
    elif "brought" in card:
        made = "uploaded"
    accuracy, rate = card.get("held_out_accuracy"), tried.get("win_rate")
    tied = f", {tried['ties']} tied" if tried.get("ties") else ""
    cells = (
        made,
        "" if accuracy is None else f"{_of_held_out(accuracy, card)} in order",
        f"{rate[0]:.0%} ({rate[1]:.0%} to {rate[2]:.0%}){tied}" if rate else "",
        f"{lora.size / 2**20:.1f} MB",
    )
    return "".join(f"<td>{escape(cell)}</td>" for cell in cells)


def _of_held_out(accuracy: float, card: Mapping[str, Any]) -> str:
    """A share of the held-out pairs as a number of them, where it is one: '3 of 4'."""
    count = (card.get("pairs") or {}).get("held_out", 0)  # of single clips it is a share of their pairs
    right = round(accuracy * count)
    return f"{right} of {count}" if count and abs(right - accuracy * count) < 1e-3 else f"{accuracy:.0%}"


def _learned(asked: Mapping[str, Any]) -> str:
    """How much a run learns from."""
    if "good" in asked:
        return f"{asked['good']} good and {many(asked['bad'], 'bad clip')}"
    if "choices" in asked:
        return f"{many(asked['choices'], 'choice')}, {many(asked['pairs'], 'pair')}"
    pairs = asked["pairs"]
    fewer = asked.get("taught", pairs) < pairs  # the others are ties
    return f"{asked['taught']} of {many(pairs, 'pair')}" if fewer else many(pairs, "pair")


def action_title(asked: Mapping[str, Any], actions: Mapping[str, Action]) -> str:
    """What a run's action is called."""
    name = asked["action"]
    if asked.get("kind") == "picture":
        return "First frames"
    return actions[name].title if name in actions else name


def several(names: Sequence[str]) -> str:
    """Names as a sentence has them."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
