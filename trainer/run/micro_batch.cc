#include "trainer/run/micro_batch.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <boost/log/trivial.hpp>
#include <numeric>

#include "data/check.h"
#include "data/samples/collate.h"
#include "data/words.h"
#include "trainer/comm/agree.h"
#include "trainer/model/device_batch.h"
#include "trainer/model/device_memory.h"
#include "trainer/model/out_of_memory.h"
#include "trainer/run/step_data.h"

namespace berth::train {
namespace {

// What a trial may take of the memory. The rest is for what it does not see: fragments, packed rows of embeddings, NCCL's buffers.
constexpr double kShare = 0.95;

void clear_gradients(const ModelInstance& model) {
  for (Bucket& bucket : model.parameters().buckets())
    if (bucket.grads.defined()) bucket.grads.zero_();
}

int64_t longest_of(const data::Batch& batch) {
  int64_t longest = 0;
  for (int64_t b = 1; b < batch.size(); ++b)
    if (batch.tokens_of(b) > batch.tokens_of(longest)) longest = b;
  return longest;
}

// A micro-batch of at most `most` samples, and with how many of them a rank's share of a step is the same; the options for it.
std::string same_steps(const BatchOptions& batch, int64_t most) {
  const int64_t share = batch.per_device_train_batch_size * batch.gradient_accumulation_steps;
  int64_t size = std::min(most, share);
  if (batch.global_batch_size > 0)
    return concat("--per-device-train-batch-size ", size, " --global-batch-size ", batch.global_batch_size);
  while (share % size != 0) --size;
  return concat("--per-device-train-batch-size ", size, " --gradient-accumulation-steps ", share / size);
}

}  // namespace

int64_t room(at::Device device) {
  const DeviceMemory memory = device_memory(device);
  return static_cast<int64_t>(kShare * static_cast<double>(memory.usable)) - memory.used;
}

data::Batch largest_micro_batch(const TrainSetup& setup, const TrainOptions& options, int64_t size, at::Device device) {
  const std::span<const int32_t> lengths = setup.train->lengths().first(static_cast<size_t>(setup.plan.horizon.num_samples));
  std::vector<int64_t> samples(lengths.size());
  std::iota(samples.begin(), samples.end(), 0);
  std::stable_sort(samples.begin(), samples.end(), [&](int64_t a, int64_t b) { return lengths[a] > lengths[b]; });
  if (setup.draws) samples.assign(static_cast<size_t>(size), samples.front());
  samples.resize(std::min(samples.size(), static_cast<size_t>(size)));
  if (const int64_t most = most_micro_batch_tokens(device); most > 0) {
    int64_t tokens = 0;
    const auto past = std::find_if(samples.begin(), samples.end(), [&](int64_t s) { return (tokens += lengths[s]) > most; });
    samples.erase(std::max(past, samples.begin() + 1), samples.end());
  }
  data::Batch batch;
  setup.train->read(samples, batch);
  if (const data::BatchTransform transform = batch_transform(options, setup)) transform(batch, 0);
  return batch;
}

void try_pass(const ModelInstance& model, const TrainOptions& options, const data::Batch& batch, at::Device device) {
  const ForwardContext context{.training = true,
                               .seed = options.seed,
                               .compute_type = compute_type(options.model_options.precision),
                               .gradient_checkpointing = options.model_options.gradient_checkpointing};
  const DeviceBatch on_device = to_device(batch, device);
  const std::vector<at::Tensor> logits = model.model().logits(on_device, context);
  model.model().loss_sums(logits, on_device).sum().backward();
  clear_gradients(model);
}

std::optional<int64_t> try_micro_batch(const ModelInstance& model, const TrainOptions& options, const data::Batch& batch,
                                       at::Device device) {
  const int64_t held = device_memory(device).used;
  std::optional<int64_t> bytes;
  reset_peak(device);
  try {
    try_pass(model, options, batch, device);
    bytes = device_memory(device).peak - held;
  } catch (const c10::Error& error) {
    if (!is_out_of_memory(error)) throw;
    bytes.reset();
    clear_gradients(model);
  }
  c10::getDeviceAllocator(device.type())->emptyCache();
  reset_peak(device);
  return bytes;
}

int64_t find_micro_batch(const TrainSetup& setup, const TrainOptions& options, comm::Communicator& comm) {
  const int64_t global = setup.plan.horizon.global_batch, share = (global + comm.size() - 1) / comm.size();
  const int64_t asked = std::min(options.batch.per_device_train_batch_size, share);  // no micro-batch is larger
  int64_t size = setup.resumed && setup.state.train_batch_size > 0 ? std::min(asked, setup.state.train_batch_size) : asked;
  if (comm.device().is_cpu()) return size;
  const int64_t began = size;
  for (;; size /= 2) {
    data::Batch batch;
    comm::agree(comm, [&] { batch = largest_micro_batch(setup, options, size, comm.device()); });
    const std::optional<int64_t> bytes = try_micro_batch(*setup.model, options, batch, comm.device());
    int64_t too_large = bytes && *bytes <= room(comm.device()) ? 0 : 1;
    comm.all_reduce_max(std::span<int64_t>(&too_large, 1));
    if (too_large == 0) break;
    comm::agree(comm, [&] {
      check_usage(size > 1, "the GPU's memory does not suffice for a micro-batch of one sample with ", batch.tokens(),
                  " tokens: ",
                  options.model_options.gradient_checkpointing ? "prepare shorter texts (--max-length)"
                                                               : "--gradient-checkpointing needs less");
    });
  }
  if (comm.rank() == 0) {
    if (setup.resumed && size < began)
      BOOST_LOG_TRIVIAL(warning) << "--auto-find-batch-size: micro-batches of " << counted(began, "sample") << " before, now of "
                                 << size << ": results are equal to rounding only";
    BOOST_LOG_TRIVIAL(info) << "--auto-find-batch-size: micro-batches of " << counted(size, "sample") << " fit, " << asked
                            << " were asked for; steps are of " << setup.plan.horizon.global_batch << " as before";
  }
  return size;
}

std::string advice_for(const ModelInstance& model, const TrainOptions& options, const data::Batch& batch, at::Device device) {
  const int64_t size = batch.size();
  const data::Batch longest = data::single(batch, longest_of(batch));
  const std::optional<int64_t> bytes = try_micro_batch(model, options, longest, device);
  const int64_t fit = bytes ? std::min(room(device) / std::max<int64_t>(1, *bytes), size - 1) : 0;
  const std::string less = options.model_options.gradient_checkpointing ? "shorter texts (--max-length) need less"
                                                                        : "--gradient-checkpointing needs less";
  if (fit < 1) return concat("not even one sample of ", longest.tokens(), " tokens would fit; ", less);
  return concat("about ", counted(fit, "sample"), " of ", longest.tokens(), " tokens would fit; ", same_steps(options.batch, fit),
                " makes the same steps, ",
                options.batch.auto_find_batch_size ? "" : "--auto-find-batch-size finds such a number by itself, ", less);
}

}  // namespace berth::train
