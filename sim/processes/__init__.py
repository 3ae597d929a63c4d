"""SimPy processes and callbacks: who waits for a decision. They own no arithmetic that a mechanism could own."""
