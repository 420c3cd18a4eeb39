"""The network of an RQ-VAE in training: encoder, codebooks with gradients, decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.semantic_id.quantiser import Float32s
from model.semantic_id.rqvae.frozen import Perceptron, RqVae
from model.semantic_id.rqvae.sinkhorn import sinkhorn_codes

# Shapes: B items of a batch, A inputs, O outputs, H hidden units, D features, Z latent, V codes of a level, M levels.
FIRST_TEMPERATURE = 0.07
LARGEST_SCALE = 100.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """How a batch is assigned to codes while training; temperature 0: to the nearest."""

    temperature: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Quantised:
    """latent [B, Z]; per level: sums [B, Z] of the vectors up to it, the nearest codes [B], rests [B, Z] before it."""

    latent: Tensor
    sums: tuple[Tensor, ...]
    nearest: tuple[Tensor, ...]
    rests: tuple[Tensor, ...]

    def passed(self) -> Tensor:
        """What the decoder gets: the quantised value, whose gradient passes straight through to the encoder."""
        return self.latent + (self.sums[-1] - self.latent).detach()

    def commitment(self, weight: float) -> Tensor:
        """Encodings drawn to codes (by `weight`), codes to encodings (by 1 - weight), mean over levels."""
        losses = [
            weight * (self.latent - summed.detach()).square().sum(1).mean()
            + (1.0 - weight) * (self.latent.detach() - summed).square().sum(1).mean()
            for summed in self.sums
        ]
        return torch.stack(losses).mean()


class Half(nn.Module):
    """A linear map and, beside it, one hidden layer: what `Perceptron` computes."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.skip = nn.Linear(inputs, outputs, bias=False)
        self.into = nn.Linear(inputs, hidden)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, rows_BA: Tensor) -> Tensor:
        """[B, O]."""
        made: Tensor = self.skip(rows_BA) + self.out(torch.relu(self.into(rows_BA)))
        return made

    def frozen(self, in_scale: float, out_scale: float) -> Perceptron:
        """The same as arrays, for inputs times `in_scale`, its outputs times `out_scale`."""

        def array(weight: Tensor, scale: float) -> Float32s:
            scaled: Float32s = (weight.detach().double() * scale).float().numpy().copy()
            return scaled

        return Perceptron(
            skip=array(self.skip.weight, in_scale * out_scale),
            into=array(self.into.weight, in_scale),
            into_bias=array(self.into.bias, 1.0),
            out=array(self.out.weight, out_scale),
            out_bias=array(self.out.bias, out_scale),
        )


class RqVaeNetwork(nn.Module):
    """Encoder, one parameter [V, Z] per level, decoder, and the learnt inverse temperature of the contrast."""

    def __init__(self, dims: int, hidden: int, latent: int, level_sizes: Sequence[int]) -> None:
        super().__init__()
        self.encoder = Half(dims, hidden, latent)
        self.decoder = Half(latent, hidden, dims)
        self.codebooks = nn.ParameterList([nn.Parameter(torch.zeros(size, latent)) for size in level_sizes])
        self.log_scale = nn.Parameter(torch.tensor(1.0 / FIRST_TEMPERATURE).log())

    @property
    def scale(self) -> Tensor:
        """Inverse temperature, bounded."""
        return self.log_scale.exp().clamp(max=LARGEST_SCALE)

    def quantise(self, latent_BZ: Tensor, assignment: Assignment) -> Quantised:
        """Assign level by level; gradients reach the codebooks through the sums alone."""
        rest_BZ = latent_BZ.detach()
        summed_BZ = torch.zeros_like(latent_BZ)
        sums, nearest, rests = [], [], []
        for vector_VZ in self.codebooks:
            with torch.no_grad():
                distance_BV = vector_VZ.square().sum(1) - 2.0 * rest_BZ @ vector_VZ.T + rest_BZ.square().sum(1, True)
                nearest.append(distance_BV.argmin(dim=1))
                code_B = nearest[-1]
                if assignment.temperature > 0.0:
                    code_B = sinkhorn_codes(distance_BV, assignment.temperature, assignment.rounds)
            rests.append(rest_BZ)
            chosen_BZ = vector_VZ[code_B]
            summed_BZ = summed_BZ + chosen_BZ
            sums.append(summed_BZ)
            rest_BZ = rest_BZ - chosen_BZ.detach()
        return Quantised(latent_BZ, tuple(sums), tuple(nearest), tuple(rests))

    def frozen(self, feature_scale: float) -> RqVae:
        """What serves: takes features as they are, where training saw them times `feature_scale`."""
        return RqVae(
            encoder=self.encoder.frozen(feature_scale, 1.0),
            code_vectors=tuple(vector_VZ.detach().numpy().copy() for vector_VZ in self.codebooks),
            decoder=self.decoder.frozen(1.0, 1.0 / feature_scale),
        )
