"""Who leads: terms, votes and clocks of raft. What is replicated is elsewhere (`sim.processes.leader`, `sim.etcd.follower`)."""
