"""etcd as mechanisms and stations: WAL bytes, MVCC, bbolt pages, the batch lock, followers. No SimPy in this room."""
