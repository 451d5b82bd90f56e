#include "trainer/use/pretrained.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "data/check.h"
#include "data/files/failpoint.h"
#include "data/files/sha256.h"
#include "data/json/json.h"
#include "data/words.h"
#include "trainer/checkpoint/byte_source.h"
#include "trainer/checkpoint/hf_names.h"
#include "trainer/checkpoint/model_weights.h"
#include "trainer/comm/agree.h"
#include "trainer/use/modeling_berth.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEncoderPrefixes[] = {"bert.embeddings.", "bert.encoder."};

bool belongs_to_encoder(std::string_view name) {
  return name.starts_with(kEncoderPrefixes[0]) || name.starts_with(kEncoderPrefixes[1]);
}

// What to do about a tensor whose shape is not the model's.
std::string shape_advice(const std::string& name, at::IntArrayRef found, at::IntArrayRef expected) {
  const bool other_width = name == "classifier.weight" && found.size() == 2 && expected.size() == 2 && found[1] != expected[1];
  if (name.starts_with("head.") || other_width)
    return "the hidden layers of this model's head have other sizes: give those with --head-hidden-sizes, or pass "
           "--ignore-mismatched-sizes to begin with a new head";
  const auto rows = [](at::IntArrayRef shape) { return shape.empty() ? int64_t{0} : shape[0]; };
  if (!belongs_to_encoder(name) && !name.starts_with("cls.") && !name.starts_with("bert.")) {
    return concat("the data has ", rows(expected), " labels, this model was trained for ", rows(found),
                  ": give data with the same labels, start from a model without this head, or pass --ignore-mismatched-sizes to "
                  "begin with a new head");
  }
  if (name == "bert.embeddings.word_embeddings.weight" || name == "cls.predictions.bias") {
    return concat("config.json says vocab_size ", rows(expected), ", the weights have ", rows(found),
                  " tokens: they are not of the same model");
  }
  return "config.json and the weights are not of the same model";
}

void read_parameter(const ModelWeights& weights, const ModelWeights::Entry& entry, Parameter& parameter) {
  const bool in_place = parameter.value.device().is_cpu() && parameter.value.is_contiguous();
  at::Tensor values =
      in_place ? parameter.value.detach() : at::empty(parameter.value.sizes(), at::TensorOptions().dtype(at::kFloat));
  const std::span<float> out(values.mutable_data_ptr<float>(), static_cast<size_t>(values.numel()));
  weights.read_f32(entry, out);
  for (size_t i = 0; i < out.size(); ++i) {
    check(std::isfinite(out[i]), weights.file_of(entry), ": ", entry.in_file, " holds ", out[i], " at element ", i,
          ": the file is damaged or its training diverged");
  }
  if (!in_place) parameter.value.detach().copy_(values);
}

// What one parameter of a model is called, and its shape.
struct Wanted {
  std::string name;
  std::vector<int64_t> shape;
};

// True if `entry` can fill `wanted`. A head of another shape goes to `report` if that is allowed, otherwise it is an error.
bool fits(const ModelWeights& weights, const ModelWeights::Entry& entry, const Wanted& wanted, const PretrainedOptions& options,
          PretrainedReport& report) {
  const at::IntArrayRef found = entry.tensor->shape, expected = wanted.shape;
  if (found == expected) return true;
  const bool may_differ = options.ignore_mismatched_sizes && options.allow_new_head && !belongs_to_encoder(wanted.name);
  check(may_differ, weights.file_of(entry), ": ", entry.in_file, " is ", shape_text(found), " in the file, expected ",
        shape_text(expected), ": ", shape_advice(wanted.name, found, expected));
  report.mismatched.push_back(
      concat(entry.in_file, ": ", shape_text(found), " in the file, ", shape_text(expected), " in the model"));
  return false;
}

void check_missing(const ModelWeights& weights, const std::vector<std::string>& needed, const PretrainedOptions& options) {
  if (needed.empty()) return;
  fail(ExitCode::kBadInput, listed(weights.files(), 2, [](const fs::path& file) { return file.string(); }), ": lacks ",
       counted(needed.size(), "tensor"), " that the model needs (", listed(needed, 3),
       "): these are not the weights of the model that its config.json describes",
       options.allow_new_head ? "" : " with this task's head");
}

// The tensor of each parameter, null where it keeps its values; what cannot be taken is an error.
std::vector<const ModelWeights::Entry*> match(const ModelWeights& weights, const std::vector<Wanted>& parameters,
                                              const PretrainedOptions& options, PretrainedReport& report) {
  std::set<std::string> used;
  std::vector<std::string> needed;
  std::vector<const ModelWeights::Entry*> matches;
  for (const Wanted& parameter : parameters) {
    const auto found = weights.tensors().find(parameter.name);
    const bool there = found != weights.tensors().end();
    if (there) used.insert(parameter.name);
    matches.push_back(there && fits(weights, found->second, parameter, options, report) ? &found->second : nullptr);
    if (matches.back() != nullptr) continue;
    report.missing.push_back(name_in_file(parameter.name, options.family));
    if (belongs_to_encoder(parameter.name) || !options.allow_new_head) needed.push_back(report.missing.back());
  }
  check_missing(weights, needed, options);
  for (const auto& [name, entry] : weights.tensors()) {
    if (!entry.redundant && !used.contains(name)) report.unexpected.push_back(entry.in_file);
  }
  return matches;
}

PretrainedReport read_folder(const fs::path& folder, ParameterStore& store, const PretrainedOptions& options) {
  const ModelWeights weights = ModelWeights::open(folder, options.family);
  PretrainedReport report;
  std::vector<Wanted> wanted;
  for (const Parameter& parameter : store.parameters()) wanted.push_back({parameter.name, parameter.value.sizes().vec()});
  const auto matches = match(weights, wanted, options, report);
  for (size_t i = 0; i < matches.size(); ++i) {
    if (matches[i] != nullptr)
      read_parameter(weights, *matches[i], store.parameters()[i]);
    else if (options.initialize)
      options.initialize(wanted[i].name);
  }
  if (!options.with_digests) return report;
  for (const fs::path& path : weights.files()) report.sha256[path.filename().string()] = data::sha256_file(path);
  return report;
}

std::string to_json(const PretrainedReport& report) {
  return data::dump_json(nlohmann::json{{"missing", report.missing},
                                        {"mismatched", report.mismatched},
                                        {"unexpected", report.unexpected},
                                        {"sha256", report.sha256}});
}

PretrainedReport from_json(const std::string& text) {
  const auto json = data::parse_json(text, "", data::kOwnJson, ExitCode::kInternal);
  return {json.at("missing"), json.at("mismatched"), json.at("unexpected"), json.at("sha256")};
}

}  // namespace

void check_pretrained(const fs::path& folder, const std::vector<ParameterSpec>& specs, comm::Communicator& comm,
                      const PretrainedOptions& options) {
  comm::agree_on_root(comm, [&] {
    std::vector<Wanted> wanted;
    for (const ParameterSpec& spec : specs) wanted.push_back({spec.name, spec.shape});
    PretrainedReport report;
    match(ModelWeights::open(folder, options.family), wanted, options, report);
  });
}

PretrainedReport load_pretrained(const fs::path& folder, ParameterStore& parameters, comm::Communicator& comm,
                                 const PretrainedOptions& options) {
  data::failpoint("load");
  at::NoGradGuard no_grad;
  if (parameters.shares_values()) comm.barrier();  // others may still have been reading them
  std::string report;
  comm::agree_on_root(comm, [&] { report = to_json(read_folder(folder, parameters, options)); });
  comm.broadcast(report, 0);
  for (Bucket& bucket : parameters.buckets()) comm.broadcast(bucket.values, 0);
  parameters.refresh_compute_copy();
  return from_json(report);
}

HostTensors::HostTensors(const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor& host = kept_.emplace_back(tensor.detach().to(at::kCPU, at::kFloat).contiguous());
    views_.push_back(
        {name, DType::kF32, host.sizes().vec(), {static_cast<const std::byte*>(host.const_data_ptr()), host.nbytes()}});
  }
}

NamedTensors weights_for_file(const BertConfig& config, const std::string& architecture, const ParameterStore& parameters) {
  NamedTensors weights;
  for (const Parameter& parameter : parameters.parameters())
    weights.emplace_back(name_in_file(parameter.name, config.class_name(architecture)), parameter.value);
  return weights;
}

std::vector<data::FileDigest> save_pretrained(const fs::path& folder, const BertConfig& config, const std::string& architecture,
                                              const ParameterStore& parameters, const TokenizerWriter& write_tokenizer) {
  return save_pretrained(folder, config, architecture, weights_for_file(config, architecture, parameters), write_tokenizer);
}

std::vector<data::FileDigest> save_pretrained(const fs::path& folder, const BertConfig& config, const std::string& architecture,
                                              const NamedTensors& weights, const TokenizerWriter& write_tokenizer) {
  fs::create_directories(folder);
  std::vector<data::FileDigest> files = write_tokenizer(folder);
  files.push_back(data::write_durably(folder / "config.json", config.to_json(architecture)));
  if (!config.head.is_standard()) files.push_back(data::write_durably(folder / kModelingFile, kModelingBerth));
  data::DurableFile file(folder / "model.safetensors");
  write_safetensors(HostTensors(weights).views(), [&](std::string_view bytes) { file.write(bytes); });
  files.push_back(file.commit());
  data::sync_folder(folder);
  return files;
}

void load_named_tensors(const fs::path& path, const NamedTensors& tensors, comm::Communicator& comm) {
  at::NoGradGuard no_grad;
  comm::agree_on_root(comm, [&] {
    const TensorFile file = parse_safetensors(open_bytes(path));
    for (const auto& [name, tensor] : tensors) {
      const TensorInfo* info = file.find(name);
      check(info != nullptr, path.string(), ": lacks ", name, ": it is not of this model");
      check(tensor.sizes() == at::IntArrayRef(info->shape), path.string(), ": ", name, " is ", shape_text(info->shape),
            " in the file, expected ", shape_text(tensor.sizes()));
      at::Tensor values = at::empty(tensor.sizes(), at::TensorOptions().dtype(at::kFloat));
      read_f32(file, *info, {values.mutable_data_ptr<float>(), static_cast<size_t>(values.numel())});
      tensor.detach().copy_(values);
    }
    check(file.tensors.size() == tensors.size(), path.string(), ": holds ", file.tensors.size(), " tensors, this model has ",
          tensors.size());
  });
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor values = tensor.detach(), there = values.to(comm.device());
    comm.broadcast(there, 0);
    if (!there.is_same(values)) values.copy_(there);
  }
}

}  // namespace berth::train
