"""Embeddings of a goal given as a short sequence of vectors, for custom timestep encoders."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FFGoalEmb", "TokenGoalEmb"]


class FFGoalEmb(nn.Module):
    """Goals of real numbers: flatten, two linear layers, a layer normalisation.

    Args:
        goal_length: vectors in a goal.
        goal_dim: numbers in a vector.
        zero_embedding: multiply the embedding by zero, to hide the goal from the agent.
    """

    def __init__(
        self,
        goal_length: int,
        goal_dim: int,
        goal_emb_dim: int = 32,
        zero_embedding: bool = False,
    ) -> None:
        super().__init__()
        width = goal_length * goal_dim
        self.ff1 = nn.Linear(width, width)
        self.ff2 = nn.Linear(width, goal_emb_dim)
        self.goal_norm = nn.LayerNorm(goal_emb_dim)
        self.goal_emb_dim = goal_emb_dim
        self.zero_embedding = zero_embedding

    def forward(self, goal: Tensor) -> Tensor:
        """`goal` `[B, L, goal_length, goal_dim]` to `[B, L, goal_emb_dim]`."""
        hidden = F.leaky_relu(self.ff1(goal.flatten(-2)))
        embedding = self.goal_norm(self.ff2(hidden))
        return embedding * 0.0 if self.zero_embedding else embedding


class TokenGoalEmb(nn.Module):
    """Goals of integers: a token embedding, a recurrent network, a linear layer.

    Args:
        goal_length: vectors in a goal.
        goal_dim: tokens in a vector.
        min_token: smallest token; smaller ones count as this.
        max_token: largest token; larger ones count as this.
        zero_embedding: multiply the embedding by zero, to hide the goal from the agent.
    """

    def __init__(
        self,
        goal_length: int,
        goal_dim: int,
        min_token: int = -128,
        max_token: int = 128,
        goal_emb_dim: int = 32,
        embedding_dim: int = 16,
        hidden_size: int = 64,
        zero_embedding: bool = False,
    ) -> None:
        super().__init__()
        self.min_token = min_token
        self.max_token = max_token
        self.goal_emb = nn.Embedding(max_token - min_token + 1, embedding_dim)
        self.goal_rnn = nn.RNN(embedding_dim, hidden_size, batch_first=True)
        self.goal_ff = nn.Linear(hidden_size, goal_emb_dim)
        self.goal_norm = nn.LayerNorm(goal_emb_dim)
        self.goal_emb_dim = goal_emb_dim
        self.zero_embedding = zero_embedding

    def forward(self, goal: Tensor) -> Tensor:
        """`goal` `[B, L, goal_length, goal_dim]` to `[B, L, goal_emb_dim]`."""
        tokens = goal.long().clamp(self.min_token, self.max_token) - self.min_token
        embedded = self.goal_emb(tokens.flatten(2).flatten(0, 1))  # [B*L goal_length*goal_dim E]
        _, last = self.goal_rnn(embedded)
        embedding = self.goal_norm(self.goal_ff(last[-1])).unflatten(0, goal.shape[:2])
        return embedding * 0.0 if self.zero_embedding else embedding
