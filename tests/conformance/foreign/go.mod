module foreign

go 1.25.0
