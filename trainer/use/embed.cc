#include "trainer/use/embed.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "data/check.h"
#include "data/features/features.h"
#include "data/json/json.h"
#include "data/text/normalize.h"
#include "trainer/checkpoint/model_path.h"
#include "trainer/checkpoint/sentence_modules.h"
#include "trainer/comm/agree.h"
#include "trainer/model/parameters.h"
#include "trainer/model/pooling.h"
#include "trainer/tasks/payload.h"
#include "trainer/use/host_logits.h"
#include "trainer/use/load_model.h"
#include "trainer/use/pretrained.h"

namespace berth::train {
namespace {

double length_of(std::span<const float> row) {
  double squares = 0;
  for (const double x : row) squares += x * x;
  return std::sqrt(squares);
}

// As torch.nn.functional.normalize: what is shorter than 1e-12 is divided by that.
void normalize_row(std::span<float> row) {
  const double length = std::max(length_of(row), 1e-12);
  for (float& x : row) x = static_cast<float>(x / length);
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double product = 0;
  for (size_t i = 0; i < a.size(); ++i) product += double{a[i]} * b[i];
  return product / (std::max(length_of(a), 1e-12) * std::max(length_of(b), 1e-12));
}

// Texts as vectors, on the device of `comm`.
class Embedder {
 public:
  Embedder(const SentenceEncoder& model, const comm::Communicator& comm, const EmbedOptions& options)
      : model_(model),
        device_(comm.device()),
        compute_type_(compute_type(options.precision)),
        features_(
            data::make_features(data::TaskKind::kSequenceClassification, *model.tokenizer, {.max_length = model.max_length})) {}

  // On their way to the host when this returns: [records, size()].
  std::shared_ptr<const HostLogits> begin(std::vector<data::Record> records) const {
    std::vector<data::Sample> samples;
    for (data::Record& record : records) {
      data::normalize(record, model_.config.normalize);
      record.text.insert(0, model_.prompt);
      in_context([&] { return concat("row ", record.row); }, [&] { features_->make(record, samples); });
    }
    const auto forward = [&](const DeviceBatch& batch, const ForwardContext& context) {
      return std::vector<at::Tensor>{pooled_texts(*model_.encoder, batch, context, model_.pooling)};
    };
    return std::make_shared<const HostLogits>(forward, data::make_batch(samples, 0), device_, compute_type_);
  }

  std::span<float> row(const HostLogits& rows, size_t index) const {
    const auto size = static_cast<size_t>(model_.size());
    std::span<float> row{rows.get()[0].mutable_data_ptr<float>() + index * size, size};
    for (const float x : row)
      check(std::isfinite(x), model_.folder.string(),
            ": an embedding is not finite: the model's training diverged, or its numbers "
            "are too large for --fp16");
    return row;
  }

 private:
  const SentenceEncoder& model_;
  at::Device device_;
  at::ScalarType compute_type_;
  std::unique_ptr<data::Features> features_;
};

// The pooling that a folder names.
TextPooling pooling_in(const std::string& name, const std::string& folder) {
  for (const TextPooling pooling : {TextPooling::kCls, TextPooling::kMean, TextPooling::kMax})
    if (name == text_pooling_name(pooling)) return pooling;
  fail(ExitCode::kBadInput, folder, ": pools its tokens by ", name,
       ", which berth does not; --pooling cls, mean or max gives others");
}

}  // namespace

void EmbedOptions::validate() const {
  check_usage(pooling != TextPooling::kPooler, "--pooling pooler is a head's; embeddings take cls, mean or max");
  precision.validate();
}

SentenceEncoder load_sentence_encoder(const std::string& name, const EmbedOptions& options, comm::Communicator& comm) {
  std::string folder, shared;
  comm::agree_on_root(comm, [&] {
    const SentenceModules modules = read_sentence_modules(resolve_model(name));
    folder = modules.encoder.string();
    shared = data::dump_json(nlohmann::json{{"config", load_config(modules.encoder).original_json},
                                            {"pooling", modules.pooling},
                                            {"normalize", modules.normalize},
                                            {"lower_case", modules.lower_case},
                                            {"max_length", modules.max_length.value_or(data::kMostTokens)},
                                            {"prompt", modules.prompt}});
  });
  comm.broadcast(folder, 0);
  comm.broadcast(shared, 0);
  const auto said = data::parse_json(shared, "", data::kOwnJson, ExitCode::kInternal);
  SentenceEncoder model;
  model.folder = folder;
  model.prompt = said["prompt"];
  model.normalize = options.normalize.value_or(said["normalize"].get<bool>());
  model.tokenizer = share_tokenizer(folder, comm);
  comm::agree(comm, [&] {
    const std::string file = (model.folder / "config.json").string();
    model.config = BertConfig::parse(said["config"], file);
    check(model.tokenizer->vocab().size() <= model.config.vocab_size, file, ": vocab_size ", model.config.vocab_size,
          " is smaller than the vocabulary of ", model.tokenizer->vocab().size(), " tokens beside it");
    model.pooling = options.pooling.value_or(pooling_in(said["pooling"], name));
    check(!said["lower_case"].get<bool>() || model.tokenizer->options().do_lower_case, folder,
          ": sentence_bert_config.json lower-cases texts for a tokenizer that does not, which berth does not do");
    const int64_t longest = std::min<int64_t>(model.config.max_position_embeddings, data::kMostTokens);
    model.max_length = static_cast<int>(
        std::min<int64_t>(options.max_length ? *options.max_length : said["max_length"].get<int64_t>(), longest));
  });
  const std::vector<ParameterSpec> specs = encoder_parameters(model.config, /*with_pooler=*/false, /*rows=*/false);
  const PretrainedOptions all_of_it{.family = model.config.family->class_prefix, .allow_new_head = false};
  check_pretrained(folder, specs, comm, all_of_it);
  model.parameters =
      std::make_shared<ParameterStore>(specs, comm, kBucketBytes, std::vector<std::string>(), ParameterStore::Updates::kNone);
  load_pretrained(folder, *model.parameters, comm, all_of_it);
  if (const at::ScalarType type = compute_type(options.precision); type != at::kFloat)
    model.parameters->enable_compute_copy(type);
  model.encoder = std::make_shared<BertEncoder>(model.config, *model.parameters);
  return model;
}

bool embed(const SentenceEncoder& model, comm::Communicator& comm, const EmbedOptions& options,
           const std::function<bool(data::Record&)>& next,
           const std::function<void(const data::Record&, std::span<const float>)>& emit, const std::function<bool()>& stop) {
  const at::NoGradGuard no_grad;
  const Embedder embedder(model, comm, options);
  const auto begin = [&](std::vector<data::Record> records) -> FinishGroup {
    return [&, count = records.size(), rows = embedder.begin(std::move(records))] {
      std::vector<std::string> results;
      for (size_t i = 0; i < count; ++i) {
        const std::span<float> row = embedder.row(*rows, i);
        if (model.normalize) normalize_row(row);
        results.emplace_back(reinterpret_cast<const char*>(row.data()), row.size_bytes());
      }
      return results;
    };
  };
  std::vector<float> row(static_cast<size_t>(model.size()));
  return deal_records(
      comm, options, next, begin,
      [&](const data::Record& record, const std::string& bytes) {
        std::memcpy(row.data(), bytes.data(), bytes.size());
        emit(record, row);
      },
      stop);
}

bool compare_pairs(const SentenceEncoder& model, comm::Communicator& comm, const EmbedOptions& options,
                   const std::function<bool(data::Record&)>& next, const std::function<void(const data::Record&, double)>& emit,
                   const std::function<bool()>& stop) {
  const at::NoGradGuard no_grad;
  const Embedder embedder(model, comm, options);
  const auto begin = [&](std::vector<data::Record> records) -> FinishGroup {
    std::vector<data::Record> second = records;
    for (size_t i = 0; i < records.size(); ++i) {
      check(records[i].has_pair, "row ", records[i].row,
            ": has one text; --similarity compares two (--text-pair, --text-pair-column)");
      second[i].text = records[i].text_pair;
      records[i].has_pair = second[i].has_pair = false;
    }
    return [&, count = records.size(), a = embedder.begin(std::move(records)), b = embedder.begin(std::move(second))] {
      std::vector<std::string> results;
      for (size_t i = 0; i < count; ++i) results.push_back(pack(cosine(embedder.row(*a, i), embedder.row(*b, i))));
      return results;
    };
  };
  return deal_records(
      comm, options, next, begin,
      [&](const data::Record& record, const std::string& bytes) { emit(record, unpack<double>(bytes)); }, stop);
}

}  // namespace berth::train
