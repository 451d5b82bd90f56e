#include "launcher/cmd_predict.h"

#include <boost/log/trivial.hpp>
#include <iomanip>
#include <iostream>
#include <optional>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/readers/reader.h"
#include "data/store/matrix_file.h"
#include "data/utf8.h"
#include "launcher/csv_lines.h"
#include "launcher/signals.h"
#include "launcher/stoppable_input.h"
#include "trainer/comm/agree.h"
#include "trainer/run/train_options.h"
#include "trainer/sweep/sweep_folder.h"
#include "trainer/use/embed.h"
#include "trainer/use/load_model.h"
#include "trainer/use/predict.h"

namespace berth::launch {
namespace {

using Json = nlohmann::ordered_json;

// Says which columns are taken where they were guessed.
std::shared_ptr<data::RecordReader> opened(const data::Source& source, const data::ReaderOptions& options) {
  std::shared_ptr<data::RecordReader> reader = data::open_reader(source, options);
  if (const std::string columns = reader->columns(); columns.ends_with("(guessed)"))
    BOOST_LOG_TRIVIAL(info) << source.name.string() << ": columns " << columns;
  return reader;
}

// The records of --text, of --input, or of standard input.
std::function<bool(data::Record&)> open_input(const PredictCommand& command, data::TaskKind task) {
  const data::RecordKind kind = data::task_info(task).records;
  if (!command.text.empty()) {
    check_usage(kind != data::RecordKind::kChoices, "--text has no choices: multiple-choice questions come from --input");
    return [&command, i = size_t{0}](data::Record& record) mutable {
      if (i >= command.text.size()) return false;
      record = {};
      record.row = static_cast<int64_t>(i) + 1;
      record.text = command.text[i];
      record.has_pair = !command.text_pair.empty();
      if (record.has_pair) record.text_pair = command.text_pair[i];
      in_context([&] { return concat("--text ", i + 1); },
                 [&] {
                   data::decode(command.reader.encoding, record.text);
                   data::decode(command.reader.encoding, record.text_pair);
                 });
      ++i;
      return true;
    };
  }
  data::ReaderOptions options = command.reader;
  options.need_label = false;
  options.keep_fields = true;
  options.kind = kind;
  const bool standard_input = command.input == "-", automatic = options.format == data::FileFormat::kAuto;
  if (standard_input && automatic && kind == data::RecordKind::kChoices) options.format = data::FileFormat::kJsonl;
  if (standard_input && automatic && kind != data::RecordKind::kQuestions && kind != data::RecordKind::kChoices)
    options.format = data::FileFormat::kLines;
  check_usage(options.kind != data::RecordKind::kWords || !automatic || command.input.extension() != ".txt" ||
                  std::filesystem::is_directory(command.input),
              command.input.string(),
              ": a .txt may hold columns of words or plain sentences; say which (--format conll or text)");
  if (!standard_input) return [reader = opened(command.input, options)](data::Record& record) { return reader->next(record); };
  return [input = std::make_shared<StoppableInput>(), options,
          reader = std::shared_ptr<data::RecordReader>()](data::Record& record) mutable {
    try {
      if (!reader) reader = opened({input->path(), "standard input"}, options);
      return reader->next(record);
    } catch (const Error&) {
      if (stop_signal() != 0) return false;  // cut off
      throw;
    }
  };
}

// JSON Lines, or CSV by the file's name, into a file, which is there when it is whole, or standard output; texts of the command line as a
// person reads them.
class Output {
 public:
  // `describe`: what a person reads of a prediction; "" if that is its JSON.
  using Describe = std::function<std::string(const data::Record&, const Json&)>;
  Output(const PredictCommand& command, Describe describe)
      : describe_(std::move(describe)),
        for_people_(command.output.empty() && !command.text.empty() && !command.options.predictions.with_logits &&
                    !command.options.predictions.with_n_best) {
    if (command.output.empty() || command.output == "-") return;
    std::error_code unlike;
    check_usage(!std::filesystem::equivalent(command.input, command.output, unlike), "--output ", command.output.string(),
                " would replace the input: give another file");
    file_.emplace(command.output, ExitCode::kBadInput);
    if (command.output.extension() == ".csv") csv_.emplace();
  }

  void operator()(const data::Record& record, const Json& prediction) {
    const std::string described = for_people_ ? describe_(record, prediction) : "";
    if (!described.empty()) {
      std::cout << data::printable_lines(described) << "\n";
      return;
    }
    lines_ += csv_ ? csv_line(record, prediction) : json_line(record, prediction);
    if (lines_.size() >= kBufferBytes || !file_) flush();
  }

  void finish() {
    flush();
    std::cout.flush();
    if (file_) file_->commit();
  }

 private:
  static constexpr size_t kBufferBytes = 1 << 20;

  // The prediction has the text of words.
  static Json told(const data::Record& record) {
    Json told{{"row", record.row}};
    if (record.words.empty()) told["text"] = record.text;
    if (record.has_pair) told["text_pair"] = record.text_pair;
    return told;
  }

  static Json value_of(const data::Field& field) { return data::parse_json<Json>(field.json, "", data::kOwnJson); }

  static std::string json_line(const data::Record& record, const Json& prediction) {
    Json line = told(record);
    line.update(prediction);
    for (const data::Field& field : record.fields)
      if (!field.text) line["input"][field.name] = value_of(field);
    return data::dump_json(line) + "\n";
  }

  std::string csv_line(const data::Record& record, Json prediction) {
    CsvLines::Row given;
    for (const data::Field& field : record.fields) given.emplace_back(field.name, value_of(field));
    if (given.empty()) {
      const Json object = told(record);
      for (const auto& [key, value] : object.items()) given.emplace_back(key, value);
    }
    if (record.words.empty()) prediction.erase("text");
    return (*csv_)(given, prediction);
  }

  void flush() {
    if (file_)
      file_->write(lines_);
    else
      std::cout << lines_;
    lines_.clear();
  }

  Describe describe_;
  bool for_people_;
  std::optional<data::DurableFile> file_;
  std::optional<CsvLines> csv_;
  std::string lines_;
};

// The models that are named, those of a sweep's ensemble one by one.
std::vector<std::string> models_of(const PredictCommand& command, comm::Communicator& comm) {
  std::vector<std::string> models;
  comm::agree(comm, [&] {
    for (const std::string& name : command.models)
      for (std::string& member : train::ensemble_members(name)) models.push_back(std::move(member));
    check_usage(models.size() == 1 || !(command.embeddings || command.similarity),
                "--embeddings and --similarity take one --model");
  });
  return models;
}

void check_command(const PredictCommand& command) {
  check_usage(command.text.empty() != command.input.empty(),
              "give texts with --text, or a file with --input (- for standard input)");
  check_usage(command.text_pair.empty() || command.text_pair.size() == command.text.size(), "there are ", command.text.size(),
              " --text but ", command.text_pair.size(), " --text-pair: give one for each, or none");
  command.options.predictions.validate();
  command.options.precision.validate();
  if (command.options.batch_size) check_range("--per-device-eval-batch-size", *command.options.batch_size, 1, train::kMostBatch);
  const bool vectors = command.embeddings || command.similarity;
  check_usage(vectors || (!command.embedding.pooling && !command.embedding.normalize),
              "--pooling and --normalize-embeddings are for --embeddings and --similarity");
  check_usage(!command.embeddings || !command.similarity, "--embeddings or --similarity: give one of them");
  check_usage(command.embeddings || !data::MatrixFile::is_name(command.output), command.output.string(),
              ": predictions are written as JSON Lines or CSV; .npy and .h5 are for --embeddings");
  check_usage(command.output.extension() != ".tsv", command.output.string(),
              ": JSON Lines or CSV are written, no TSV: name it .csv");
  command.embedding.validate();
}

// Vectors instead of predictions.
int run_embeddings(const PredictCommand& command, const std::string& model_name, train::EmbedOptions options, Rank& rank) {
  comm::Communicator& comm = rank.comm;
  options.max_length = command.max_length;
  const train::SentenceEncoder model = train::load_sentence_encoder(model_name, options, comm);
  std::function<bool(data::Record&)> next;
  std::unique_ptr<Output> lines;
  std::unique_ptr<data::MatrixFile> matrix;
  comm::agree_on_root(comm, [&] {
    next = open_input(command, data::TaskKind::kSequenceClassification);
    if (data::MatrixFile::is_name(command.output))
      matrix = std::make_unique<data::MatrixFile>(command.output, model.size());
    else
      lines = std::make_unique<Output>(command, [](const data::Record& record, const Json& result) {
        return result.contains("similarity")
                   ? concat("Text: ", record.text, " | ", record.text_pair, " => Similarity: ", std::fixed, std::setprecision(4),
                            result["similarity"].get<double>())
                   : "";
      });
  });
  const auto write_row = [&](const data::Record& record, std::span<const float> row) {
    if (matrix)
      matrix->append(row);
    else
      (*lines)(record, {{"embedding", std::vector<float>(row.begin(), row.end())}});
  };
  const auto write_similarity = [&](const data::Record& record, double similarity) {
    (*lines)(record, {{"similarity", similarity}});
  };
  const auto stop = [] { return stop_signal() != 0; };
  const bool complete = command.similarity ? train::compare_pairs(model, comm, options, next, write_similarity, stop)
                                           : train::embed(model, comm, options, next, write_row, stop);
  if (!complete) return end_stopped(rank, "stopped on request; the embeddings are not complete");
  comm::agree_on_root(comm, [&] { matrix ? matrix->commit() : lines->finish(); });
  return 0;
}

}  // namespace

int run_predict(const PredictCommand& command, const std::string& log_level) {
  check_command(command);
  return on_all_ranks(command.device, log_level, [&](Rank& rank) {
    comm::Communicator& comm = rank.comm;
    train::set_precision(command.options.precision, comm);
    const std::vector<std::string> names = models_of(command, comm);
    train::PredictOptions options = command.options;
    options.origin = !command.text.empty() ? "--text" : command.input == "-" ? "standard input" : command.input.string();
    if (command.embeddings || command.similarity) {
      train::EmbedOptions embedding = command.embedding;
      static_cast<train::DealOptions&>(embedding) = options;
      embedding.precision = options.precision;
      return run_embeddings(command, names[0], embedding, rank);
    }
    const std::vector<train::LoadedModel> models = train::load_models(names, options.precision, comm);
    comm.set_stage("prediction");
    const data::TaskKind task = models[0].kind();
    const std::optional<train::DocumentWindows>& windows = models[0].config().windows;
    const std::optional<int64_t> as_trained = models[0].config().max_length;
    options.features.max_length =
        command.max_length.value_or(as_trained ? static_cast<int>(*as_trained) : data::task_info(task).max_length);
    if (windows && !options.features.doc_stride) options.features.doc_stride = static_cast<int>(windows->doc_stride);
    comm::agree(comm, [&] {
      check_usage(windows || !options.features.doc_stride || data::task_info(task).records == data::RecordKind::kQuestions,
                  "--doc-stride: ", names[0], " was trained on texts that were cut, not on windows of long texts");
    });
    for (const train::LoadedModel& one : models)
      options.features.max_length = std::min(options.features.max_length, static_cast<int>(one.config().max_position_embeddings));
    comm::agree(comm, [&] { models[0].task().check_options(options.predictions, models[0].config().label_names); });
    std::function<bool(data::Record&)> next;
    std::unique_ptr<Output> output;
    comm::agree_on_root(comm, [&] {
      next = open_input(command, task);
      output = std::make_unique<Output>(command, [&](const data::Record& record, const Json& prediction) {
        return models[0].task().describe(record, prediction);
      });
    });
    const bool complete = train::predict(
        models, comm, options, next, [&](const data::Record& record, const Json& prediction) { (*output)(record, prediction); },
        [] { return stop_signal() != 0; });
    if (!complete) return end_stopped(rank, "stopped on request; the predictions are not complete");
    comm::agree_on_root(comm, [&] { output->finish(); });
    return 0;
  });
}

}  // namespace berth::launch
