// What libc10_cuda asks libcudart for and the stand-in lacks: graphs, memory pools, other processes' memory, peers. It says so.
#include <cuda_runtime_api.h>

extern "C" {

cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t, cudaStreamCaptureStatus* status, unsigned long long*, cudaGraph_t*,
                                     const cudaGraphNode_t**, const cudaGraphEdgeData**, size_t*) {
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode*) { return cudaSuccess; }
cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
  *can = 0;
  return cudaSuccess;
}

#define BERTH_STANDIN_LACKS(function, ...) \
  cudaError_t function(__VA_ARGS__) { return cudaErrorNotSupported; }
BERTH_STANDIN_LACKS(cudaDeviceEnablePeerAccess, int, unsigned)
BERTH_STANDIN_LACKS(cudaDeviceGetDefaultMemPool, cudaMemPool_t*, int)
BERTH_STANDIN_LACKS(cudaDeviceGetGraphMemAttribute, int, cudaGraphMemAttributeType, void*)
BERTH_STANDIN_LACKS(cudaDeviceSetGraphMemAttribute, int, cudaGraphMemAttributeType, void*)
BERTH_STANDIN_LACKS(cudaFreeAsync, void*, cudaStream_t)
BERTH_STANDIN_LACKS(cudaMallocAsync, void**, size_t, cudaStream_t)
BERTH_STANDIN_LACKS(cudaGraphNodeGetDependencies, cudaGraphNode_t, cudaGraphNode_t*, cudaGraphEdgeData*, size_t*)
BERTH_STANDIN_LACKS(cudaIpcCloseMemHandle, void*)
BERTH_STANDIN_LACKS(cudaIpcGetMemHandle, cudaIpcMemHandle_t*, void*)
BERTH_STANDIN_LACKS(cudaIpcOpenMemHandle, void**, cudaIpcMemHandle_t, unsigned)
BERTH_STANDIN_LACKS(cudaMemPoolGetAttribute, cudaMemPool_t, cudaMemPoolAttr, void*)
BERTH_STANDIN_LACKS(cudaMemPoolSetAccess, cudaMemPool_t, const cudaMemAccessDesc*, size_t)
BERTH_STANDIN_LACKS(cudaMemPoolSetAttribute, cudaMemPool_t, cudaMemPoolAttr, void*)
BERTH_STANDIN_LACKS(cudaMemPoolTrimTo, cudaMemPool_t, size_t)

}  // extern "C"
