"""Our Qwen2 against transformers' own."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal, cast

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, Qwen2ForCausalLM

from contracts.errors import BadBundle
from model.network.backbone import Rotary
from model.network.config import RankGRConfig
from model.network.network import RankGRNetwork, network_from


def small_config(mode: Literal["mha", "literal"] = "mha", kv_heads: int = 2, **other: object) -> RankGRConfig:
    """Two levels of 8 and 6 codes behind 4 special tokens, with one spare row of vocabulary."""
    content = RankGRConfig.create(
        hidden_size=32,
        layers=2,
        heads=4,
        kv_heads=kv_heads,
        intermediate_size=48,
        vocab_size=19,
        max_position=64,
        levels=[{"size": 8, "token_offset": 4}, {"size": 6, "token_offset": 12}],
        special_tokens={"pad": 0, "marker": 1},
        prompt={"max_tokens": 60, "block_tokens": 4, "layout": "items", "history_level": "click"},
        rank_head={
            "mode": mode,
            "heads": 1 if mode == "literal" else 2,
            "dim": 32 if mode == "literal" else 8,
            "mlp_hidden": 16,
        },
        decode={"beams": [4, 10], "lambdas": [8, 6]},
        rope_theta=5000.0,
    ).to_json()
    return RankGRConfig.from_json({**content, **other})


def shaken(config: RankGRConfig, seed: int) -> RankGRNetwork:
    """A network none of whose weights is 0 or 1, biases and norms included."""
    network = network_from(config, seed)
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn(weight.shape, generator=chance) * 0.2)
    return network


def write_bundle_part(network: RankGRNetwork, directory: Path) -> None:
    (directory / "config.json").write_text(json.dumps(network.config.to_json()))
    save_file(network.state_dict(), directory / "model.safetensors", metadata={"format": "pt"})


def transformers_model(directory: Path) -> Qwen2ForCausalLM:
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    return cast("Qwen2ForCausalLM", model)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_states_equal_those_of_transformers(tmp_path: Path, kv_heads: int) -> None:
    network = shaken(small_config(kv_heads=kv_heads), seed=1)
    write_bundle_part(network, tmp_path)
    theirs = transformers_model(tmp_path)
    tokens = torch.randint(0, 19, (3, 40), generator=torch.Generator().manual_seed(2))
    positions = torch.arange(40).expand(3, -1)
    with torch.no_grad():
        ours = network(tokens, positions)
        expected = theirs.model(input_ids=tokens).last_hidden_state
        logits = theirs(input_ids=tokens).logits[..., 12:18]
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(network.level_logits(ours, 2), logits, rtol=1e-5, atol=1e-5)


def test_a_mask_and_restarted_positions_give_parallel_targets_the_states_of_lonely_ones() -> None:
    network = shaken(small_config(), seed=3).double()
    history, targets = [4, 13, 9, 12], [5, 6, 11]
    tokens = torch.tensor([[*history, *targets]])
    positions = torch.tensor([[0, 1, 2, 3, 4, 4, 4]])
    mask = torch.ones(7, 7, dtype=torch.bool).tril()
    mask[4:, 4:] = torch.eye(3, dtype=torch.bool)
    with torch.no_grad():
        packed = network(tokens, positions, mask[None, None])[0]
        for slot, target in enumerate(targets):
            alone = network(torch.tensor([[*history, target]]), torch.arange(5)[None])[0]
            torch.testing.assert_close(packed[4 + slot], alone[-1], rtol=1e-12, atol=1e-12)


def test_transformers_keeps_our_section_and_ignores_only_the_rank_head(tmp_path: Path) -> None:
    network = shaken(small_config(), seed=4)
    write_bundle_part(network, tmp_path)
    loaded: object = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    model, notes = cast("tuple[Qwen2ForCausalLM, dict[str, list[str]]]", loaded)
    assert not notes["missing_keys"]
    assert not notes["mismatched_keys"]
    assert set(notes["unexpected_keys"]) == {name for name in network.state_dict() if name.startswith("rank_head.")}
    assert model.config.rankgr == network.config.to_json()["rankgr"]
    assert model.config.to_dict()["rope_parameters"]["rope_theta"] == 5000.0


def test_the_state_dict_holds_exactly_what_transformers_would_save_and_the_rank_head(tmp_path: Path) -> None:
    config = small_config()
    write_bundle_part(network_from(config, 0), tmp_path)
    expected = set(transformers_model(tmp_path).state_dict()) - {"lm_head.weight"}
    ours = set(RankGRNetwork(config).state_dict())
    assert {name for name in ours if not name.startswith("rank_head.")} == expected
    projections = {f"rank_head.{part}_proj.weight" for part in "qkv"}
    layers = {f"rank_head.{part}" for part in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")}
    assert {name for name in ours if name.startswith("rank_head.")} == projections | layers
    literal = RankGRNetwork(small_config("literal")).state_dict()
    assert not [name for name in literal if "rank_head" in name and "proj" in name]


def test_the_same_seed_draws_the_same_weights() -> None:
    one, same, other = (network_from(small_config(), seed).state_dict() for seed in (7, 7, 8))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_a_prior_becomes_the_rank_heads_first_guess() -> None:
    network = RankGRNetwork(small_config())
    network.initialise(seed=0, prior=0.02)
    assert torch.sigmoid(network.rank_head.fc2.bias).item() == pytest.approx(0.02)


def test_a_configuration_survives_its_json_form() -> None:
    config = small_config(extra_word="kept")
    again = RankGRConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again.to_json() == config.to_json()
    assert again.to_json()["extra_word"] == "kept"
    assert again.rankgr.prompt.model_extra == {"history_level": "click"}


def test_both_spellings_of_rope_are_read() -> None:
    content = small_config().to_json()
    old = {k: v for k, v in content.items() if k != "rope_parameters"}
    new = {k: v for k, v in content.items() if k != "rope_theta"}
    assert RankGRConfig.from_json(old).rope_theta == RankGRConfig.from_json(new).rope_theta == 5000.0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"model_type": "llama"}, "model_type"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "yarn"),
        ({"vocab_size": 17}, "vocabulary"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"rankgr": {}}, "rankgr.levels"),
        ({"num_key_value_heads": 3}, "heads"),
    ],
)
def test_a_foreign_configuration_is_refused_in_one_line(change: dict[str, object], word: str) -> None:
    with pytest.raises(BadBundle, match=word) as caught:
        RankGRConfig.from_json({**small_config().to_json(), **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_attention_begins_as_a_mean_of_what_it_sees(kv_heads: int) -> None:
    attention = RankGRNetwork(small_config(kv_heads=kv_heads)).stack()[0].self_attn
    for projection in (attention.v_proj, attention.o_proj):
        projection.weight.data.zero_()
    attention.v_proj.bias.data.zero_()
    attention.begin_copying(0.5)
    x_SD = torch.randn(7, 32, generator=torch.Generator().manual_seed(0))
    mean_HE = attention.v_proj(x_SD).view(7, kv_heads, 8).mean(0).repeat_interleave(4 // kv_heads, 0)
    found_D, carried = attention.o_proj(mean_HE.flatten()), 8 * kv_heads
    torch.testing.assert_close(found_D[:carried], 0.25 * x_SD.mean(0)[:carried])
    assert not found_D[carried:].any()


@pytest.mark.parametrize("kv_heads", [1, 4])
def test_attention_begins_by_looking_back_less_and_less(kv_heads: int) -> None:
    config = small_config(kv_heads=kv_heads)
    attention, rotary = RankGRNetwork(config).stack()[0].self_attn, Rotary(config.head_dim, config.rope_theta)
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight.data.zero_()
        projection.bias.data.zero_()
    attention.begin_recent(3.0)
    positions_S = torch.arange(100, 104)
    q_SHE, k_SKE, _ = attention.project(torch.zeros(4, 32), rotary.angles(positions_S, torch.float32))
    score_HS = torch.einsum("he,she->hs", q_SHE[-1], k_SKE.repeat_interleave(4 // kv_heads, 1)) / math.sqrt(8)
    # The token itself has what was asked for; the mean of cosines over the dims' speeds says the rest.
    speeds = config.rope_theta ** -(torch.arange(0, 8, 2) / 8)
    expected_S = 3.0 * (torch.arange(3, -1, -1)[:, None] * speeds).cos().mean(1)
    torch.testing.assert_close(score_HS, expected_S.expand(4, -1))
    assert (score_HS.diff(dim=1) > 0).all()
