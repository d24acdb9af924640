"""From Python kernels, written in numba.cuda's words, to code for a graphics processor.

Kernel → layercc's own Numba target (`layercc.kernels.front_end`) → LLVM IR → the NVPTX back end
of the LLVM inside llvmlite → PTX → ptxas, where there is one → cubin. No toolkit, driver or device
is needed up to PTX.
"""
