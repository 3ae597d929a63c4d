"""The same workload twice: on a real etcd, and in the simulator; then prediction beside measurement.

    workload    what is sent: the one description that both sides read
    inputs      what the prediction is made from: a probe of the disk and of the loopback, defaults; never a workload's measurement
    server      a real etcd of one or three members, started here and ended here
    generator   the client, a process of its own (wire: its bytes)
    measure     one round: scrape, load, scrape, read the files of the log
    measurement every round, and the file that keeps them
    predict     the same in the simulator
    compare     rows of figures, their errors, and the noise of the measurement

Nothing here is used by the simulator.
"""
