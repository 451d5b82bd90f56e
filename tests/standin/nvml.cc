// libnvidia-ml.so.1 without a GPU: what libc10_cuda asks it before memory grows in place, namely whether the device's memory can be given
// to other hosts by a fabric. It cannot. https://docs.nvidia.com/deploy/nvml-api/
namespace {

// The beginning of nvmlGpuFabricInfoV_t.
struct FabricInfo {
  unsigned version;
  unsigned char cluster[16];
  int status;
  unsigned clique;
  unsigned char state;  // 0: not supported
};

}  // namespace

extern "C" {

int nvmlInit_v2() { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char*, void** device) {
  static char anything;
  *device = &anything;
  return 0;
}
int nvmlDeviceGetGpuFabricInfoV(void*, FabricInfo* info) {
  const unsigned version = info->version;
  *info = {};
  info->version = version;
  return 0;
}

// libc10_cuda looks these up and does not call them here.
constexpr int kNotSupported = 3;
int nvmlDeviceGetNvLinkRemoteDeviceType() { return kNotSupported; }
int nvmlDeviceGetNvLinkRemotePciInfo_v2() { return kNotSupported; }
int nvmlDeviceGetComputeRunningProcesses() { return kNotSupported; }
int nvmlSystemGetCudaDriverVersion_v2() { return kNotSupported; }

}  // extern "C"
