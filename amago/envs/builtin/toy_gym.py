"""Two small worlds that reward remembering earlier attempts: frozen lakes and a dark room."""

from amago.envs.builtin.frozen_lake import MetaFrozenLake
from amago.envs.builtin.key_door import RoomKeyDoor

__all__ = ["MetaFrozenLake", "RoomKeyDoor"]
