"""What a table compares: how each variant is trained, and how its lists are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from model.build.recipe import Recipe

FULL = "full"


class Group(StrEnum):
    """Which part of the report a variant belongs to."""

    ABLATION = "ablation"
    LAMBDA = "lambda_2"
    MU = "mu"
    ALPHA = "alpha"
    BETA = "beta"


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a bundle's lists are made; None leaves the bundle's own default.

    rank_head: False lets IAP's log p order alone, as it must where no rank head was trained.
    trie: False lets every combination of codes compete, items or not.
    neighbours: order the final beam by the bundle's neighbours, too; the rest of a table shows the model alone.
    """

    lambdas: tuple[int, ...] | None = None
    iap_mix: float | None = None
    rank_head: bool = True
    trie: bool = True
    neighbours: bool = False


@dataclass(frozen=True, slots=True)
class Variant:
    """One row; `value` is its x in a figure.  `bundle` names the training: who differs in decoding alone shares it."""

    name: str
    group: Group
    bundle: str
    recipe: Recipe
    decoding: Decoding = Decoding()
    value: float | None = None
    every_seed: bool = True


@dataclass(frozen=True, slots=True)
class SweepValues:
    """Points of the sweeps.  lambda_2 and mu need no training; alpha and beta are trained with the first seed."""

    lambda_2: Sequence[int] = (8, 32, 128, 512)
    mu: Sequence[float] = (0.0, 0.1, 0.25, 0.5, 1.0, 4.0)
    alpha: Sequence[float] = (0.0, 0.5, 1.0, 2.0)
    beta: Sequence[float] = (0.1, 0.5, 1.0)


def ablation(recipe: Recipe) -> list[Variant]:
    """The paper's ablation: without LDPO, without RSP, without both (TIGER's plain generation), and no trie.

    None of them asks the bundle's neighbours; where the recipe has some, `with_neighbours` is `full` that does.
    """
    found = [
        Variant(FULL, Group.ABLATION, FULL, recipe),
        Variant("no_ldpo", Group.ABLATION, "no_ldpo", with_losses(recipe, alpha=0.0)),
        _without_rsp("no_rsp", with_losses(recipe, gamma=0.0)),
        _without_rsp("ntp", with_losses(recipe, alpha=0.0, gamma=0.0)),
        dataclasses.replace(
            _without_rsp("ntp", with_losses(recipe, alpha=0.0, gamma=0.0)),
            name="ntp_no_trie",
            decoding=Decoding(rank_head=False, iap_mix=1.0, trie=False),
        ),
        # Not trained anew: what the same weights do when RSP is not asked.
        Variant("full_iap_order", Group.ABLATION, FULL, recipe, Decoding(rank_head=False, iap_mix=1.0)),
    ]
    if recipe.neighbours.method != "none":
        found.append(Variant("with_neighbours", Group.ABLATION, FULL, recipe, Decoding(neighbours=True)))
    return found


def sweeps(recipe: Recipe, values: SweepValues) -> list[Variant]:
    """Every point as a variant; a point that equals the recipe's own setting is the full model, and is left out."""
    lambdas, mu = recipe.decoding.lambdas, recipe.decoding.iap_mix
    found = [
        Variant(
            f"lambda_2={value}",
            Group.LAMBDA,
            FULL,
            recipe,
            Decoding(lambdas=(lambdas[0], value, *lambdas[2:])),
            value,
            every_seed=False,
        )
        for value in values.lambda_2
        if len(lambdas) > 1 and value != lambdas[1]
    ]
    found += [
        Variant(f"mu={value:g}", Group.MU, FULL, recipe, Decoding(iap_mix=value), value, every_seed=False)
        for value in values.mu
        if value != mu
    ]
    for value in values.alpha:
        if value != recipe.losses.alpha:
            # alpha 0 is the variant without LDPO: one training serves both.
            bundle = f"alpha={value:g}" if value else "no_ldpo"
            found.append(_trained(Group.ALPHA, bundle, with_losses(recipe, alpha=value), value))
    for value in values.beta:
        if value != recipe.losses.beta:
            found.append(_trained(Group.BETA, f"beta={value:g}", with_losses(recipe, beta=value), value))
    return found


def _trained(group: Group, bundle: str, recipe: Recipe, value: float) -> Variant:
    return Variant(f"{group.value}={value:g}", group, bundle, recipe, value=value, every_seed=False)


def own_value(recipe: Recipe, group: Group) -> float | None:
    """Where the full model stands on a sweep's axis."""
    lambdas = recipe.decoding.lambdas
    return {
        Group.LAMBDA: float(lambdas[1]) if len(lambdas) > 1 else None,
        Group.MU: recipe.decoding.iap_mix,
        Group.ALPHA: recipe.losses.alpha,
        Group.BETA: recipe.losses.beta,
    }.get(group)


def with_losses(
    recipe: Recipe, alpha: float | None = None, beta: float | None = None, gamma: float | None = None
) -> Recipe:
    """The same recipe with other weights of the losses; None keeps one."""
    own = recipe.losses
    losses = dataclasses.replace(
        own,
        alpha=own.alpha if alpha is None else alpha,
        beta=own.beta if beta is None else beta,
        gamma=own.gamma if gamma is None else gamma,
    )
    decoding = recipe.decoding
    if losses.gamma == 0 and decoding.iap_mix == 0:
        # Nothing but IAP is left to order a list.
        decoding = dataclasses.replace(decoding, iap_mix=1.0)
    return dataclasses.replace(recipe, losses=losses, decoding=decoding)


def _without_rsp(name: str, recipe: Recipe) -> Variant:
    return Variant(name, Group.ABLATION, name, recipe, Decoding(rank_head=False, iap_mix=1.0))
