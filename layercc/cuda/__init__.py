"""Graphics processors of NVIDIA as a target: `layercc.cuda.target.CudaTarget`."""
