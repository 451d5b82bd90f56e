#include "trainer/optim/device_lamb.h"

#include <algorithm>

namespace berth::train {
namespace {

constexpr int64_t kSegment = 16384;  // elements at most: fixed, so that sums are the same on every GPU

}  // namespace

// Parameters are numbered in the order of their segments here.
DeviceLamb::DeviceLamb(ParameterStore& parameters, const OptimizerKernels& kernels) : parameters_(parameters), kernels_(kernels) {
  const auto on_host = at::TensorOptions().dtype(at::kInt);
  const at::Device device = parameters_.buckets().front().values.device();
  std::vector<int32_t> ranges{0};
  for (const Bucket& bucket : parameters_.buckets()) {
    std::vector<int32_t> segments;
    if (!bucket.frozen) {
      for (int index : bucket.parameters) {
        const Parameter& parameter = parameters_.parameters()[static_cast<size_t>(index)];
        const int64_t begin = std::max(parameter.offset - bucket.part_begin, int64_t{0}),
                      end = std::min(parameter.offset - bucket.part_begin + parameter.value.numel(), bucket.part_size);
        for (int64_t at = begin; at < end; at += kSegment)
          for (int64_t number : {at, std::min(at + kSegment, end), std::ssize(ranges) - 1})
            segments.push_back(static_cast<int32_t>(number));
        ranges.push_back(ranges.back() + static_cast<int32_t>(std::max((end - begin + kSegment - 1) / kSegment, int64_t{0})));
      }
    }
    segments_.push_back(at::tensor(at::ArrayRef<int32_t>(segments), on_host).view({-1, 3}).to(device));
  }
  ranges_ = at::tensor(at::ArrayRef<int32_t>(ranges), on_host).to(device);
  const auto sums = at::TensorOptions(device).dtype(at::kDouble);
  partials_ = at::empty({ranges.back(), 2}, sums);
  sums_ = at::zeros({parameters_.comm().size(), std::ssize(ranges) - 1, 2}, sums);
}

void DeviceLamb::update(const std::vector<OptimizerKernels::Bucket>& parts, const kernels::AdamWNumbers& numbers,
                        const at::Tensor& plan) {
  comm::Communicator& comm = parameters_.comm();
  int64_t first = 0;
  for (size_t b = 0; b < parts.size(); ++b) {
    const int64_t count = segments_[b].size(0);
    if (count > 0) kernels_.lamb_moments(parts[b], segments_[b], numbers, plan, partials_.narrow(0, first, count));
    first += count;
  }
  const at::Tensor own = sums_.narrow(0, comm.rank(), 1);
  kernels_.lamb_sums(partials_, ranges_, own);
  if (parameters_.is_cut()) comm.wait(comm.start_all_gather(sums_.flatten()));
  for (size_t b = 0; b < parts.size(); ++b)
    if (segments_[b].size(0) > 0)
      kernels_.lamb_update(parts[b], segments_[b], parameters_.buckets()[b].is_cut ? sums_ : own, numbers, plan);
}

}  // namespace berth::train
