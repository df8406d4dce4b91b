"""The actor side: a policy in environments, the trajectories it leaves, how its episodes went."""
