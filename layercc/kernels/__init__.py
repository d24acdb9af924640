"""How kernels are declared and become typed code, for any target: keys, records, expressions,
tracing, scalar maths; Numba's view of them, and where their code is kept."""
