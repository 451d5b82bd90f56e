// How many samples a micro-batch may have for a GPU's memory to suffice.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "data/samples/batch.h"
#include "trainer/comm/communicator.h"
#include "trainer/run/train_setup.h"

namespace berth::train {

// What a GPU's memory has left for a micro-batch, in bytes: not all, for some goes in fragments, packed rows of embeddings, NCCL's buffers.
int64_t room(at::Device device);

// The largest micro-batch of at most `size` samples that the run may meet with: the longest samples that it learns from, the first ones
// among equals, as a batch of its first epoch. Where samples are drawn, the longest may come again and again. Throws Error(kBadInput).
data::Batch largest_micro_batch(const TrainSetup& setup, const TrainOptions& options, int64_t size, at::Device device);

// Passes `batch` forward and backward; gradients are zero afterwards. No collective.
void try_pass(const ModelInstance& model, const TrainOptions& options, const data::Batch& batch, at::Device device);

// Passes `batch` forward and backward, only to see what memory that takes: so many bytes beyond what is held before. Nothing if the
// GPU's memory does not suffice. Gradients are zero afterwards. No collective; for GPUs.
std::optional<int64_t> try_micro_batch(const ModelInstance& model, const TrainOptions& options, const data::Batch& batch,
                                       at::Device device);

// --auto-find-batch-size: the most samples, of those that --per-device-train-batch-size asks for (or that the run which goes on has
// had), its half, its quarter, …, for which the memory of every rank's GPU suffices, if they are the training split's longest. Tried
// before the first step and agreed on by all ranks, so that no rank fails in the midst of a step's collectives, and the same again
// when the run goes on. On CPUs what was asked for. A collective call; throws comm::AgreedError if one sample is too many.
int64_t find_micro_batch(const TrainSetup& setup, const TrainOptions& options, comm::Communicator& comm);

// For a GPU whose memory did not suffice for `batch`: about how many such samples would fit, by what the longest of them takes alone, and
// which options make the same steps with them. No collective.
std::string advice_for(const ModelInstance& model, const TrainOptions& options, const data::Batch& batch, at::Device device);

}  // namespace berth::train
