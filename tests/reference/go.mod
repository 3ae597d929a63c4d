module etcdsim.test/reference

go 1.21
