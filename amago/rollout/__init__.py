"""The actor side: a policy in environments, the trajectories it leaves, and how its episodes went."""
