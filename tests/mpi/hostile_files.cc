#include "tests/mpi/hostile_files.h"

#include <hdf5.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "tests/support/temp_dir.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;
using Make = std::function<HostileCommand(const Places&)>;

// What a file holds, made when it is needed.
struct Bytes : std::function<std::string()> {
  using std::function<std::string()>::function;
  Bytes(const char* text) : Bytes(std::string(text)) {}
  Bytes(std::string text) : std::function<std::string()>([text = std::move(text)] { return text; }) {}
};

std::string repeated(const std::string& text, size_t times) {
  std::string all;
  all.reserve(text.size() * times);
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

std::string deep() { return repeated("[", 100'000) + repeated("]", 100'000); }
std::string halves_swapped(const std::string& bytes) {
  return bytes.substr(bytes.size() / 2) + bytes.substr(0, bytes.size() / 2);
}
std::string little_endian(uint64_t value) { return {reinterpret_cast<const char*>(&value), sizeof(value)}; }
std::string safetensors(const std::string& header, const std::string& data = "") {
  return little_endian(header.size()) + header + data;
}

// What is done with the hostile file, or with the folder that it is in.
using Verb = std::function<std::string(const Places&, const fs::path&)>;
const Verb kInspect = [](const Places&, const fs::path& path) { return "inspect " + path.string(); };
const Verb kReport = [](const Places&, const fs::path& path) { return "report " + path.string(); };
const Verb kEvaluate = [](const Places& p, const fs::path& model) {
  return "evaluate --model " + model.string() + " --data " + (p.base / "data.h5").string();
};
const Verb kTrain = [](const Places& p, const fs::path& model) {
  return "train --disable-tqdm --max-steps 1 --model " + model.string() + " --data " + (p.base / "data.h5").string() +
         " --output-dir " + (p.folder / "out").string();
};
const Verb kTokenize = [](const Places& p, const fs::path& model) {
  return "prepare --train-file " + (p.base / "train.csv").string() + " --tokenizer " + model.string() + " --output " +
         (p.folder / "out.h5").string();
};
Verb prepare(const std::string& task) {
  return [task](const Places& p, const fs::path& file) {
    return "prepare --threads 2 --task " + task + " --train-file " + file.string() + " --tokenizer " +
           (p.base / "model").string() + " --output " + (p.folder / "out.h5").string();
  };
}
const Verb kData = [](const Places& p, const fs::path& data) {
  return "evaluate --model " + (p.base / "model").string() + " --data " + data.string();
};

// A file of its own.
Make file(const std::string& name, const Bytes& bytes, const Verb& verb) {
  return [=](const Places& p) {
    const fs::path path = write_bytes(p.folder / name, bytes());
    return HostileCommand{path, verb(p, path)};
  };
}

fs::path copy_without(const Places& p, const std::string& what, const std::string& drop) {
  const fs::path copy = p.folder / fs::path(what).filename();
  fs::copy(p.base / what, copy, fs::copy_options::recursive);
  if (!drop.empty()) fs::remove(copy / drop);
  return copy;
}

// A file in a copy of base/`what`; `drop`: a file that would be read instead.
Make in(const std::string& what, const std::string& name, const Bytes& bytes, const Verb& verb, const std::string& drop = "") {
  return [=](const Places& p) {
    const fs::path copy = copy_without(p, what, drop);
    return HostileCommand{write_bytes(copy / name, bytes()), verb(p, copy)};
  };
}

// The same with what is no file: a pipe that nobody writes to, or a link to a device without an end.
Make special_in(const std::string& what, const std::string& name, const Verb& verb, bool endless = false,
                const std::string& drop = "") {
  return [=](const Places& p) {
    const fs::path copy = copy_without(p, what, drop), path = copy / name;
    fs::remove(path);
    if (endless)
      fs::create_symlink("/dev/zero", path);
    else
      ::mkfifo(path.c_str(), 0600);
    return HostileCommand{path, verb(p, copy)};
  };
}

// config.json with some keys changed.
Make config(const nlohmann::json& changes, const Verb& verb) {
  return [=](const Places& p) {
    auto json = nlohmann::json::parse(read_bytes(p.base / "model/config.json"));
    json.update(changes);
    return in("model", "config.json", json.dump(), verb)(p);
  };
}

// The weights' file is named, not config.json, which cannot be told to be the wrong one.
Make sizes(const std::string& key, const nlohmann::json& value, const Verb& verb) {
  return [=](const Places& p) {
    HostileCommand command = config({{key, value}}, verb)(p);
    command.file = command.file.parent_path() / "model.safetensors";
    return command;
  };
}

// data.h5 with train/rows made again: of 2 million zeros, deflated or never written.
Make rows(bool deflate) {
  return [=](const Places& p) {
    const fs::path path = p.folder / "data.h5";
    fs::copy(p.base / "data.h5", path);
    const hid_t data = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), split = H5Gopen2(data, "validation", H5P_DEFAULT);
    H5Ldelete(split, "rows", H5P_DEFAULT);
    const hsize_t count = 2'000'000;
    const hid_t space = H5Screate_simple(1, &count, nullptr), creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(creation, 1, &count);
    if (deflate) H5Pset_deflate(creation, 9);
    const hid_t dataset = H5Dcreate2(split, "rows", H5T_NATIVE_INT64, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    const std::vector<int64_t> zeros(deflate ? count : 0);
    if (deflate) H5Dwrite(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, zeros.data());
    H5Dclose(dataset), H5Pclose(creation), H5Sclose(space), H5Gclose(split), H5Fclose(data);
    return HostileCommand{path, kData(p, path)};
  };
}

// tf_model.h5 in the place of model.safetensors, made of one that transformers saved.
Make tf_model(const std::function<std::string(std::string)>& change) {
  return [=](const Places& p) {
    const std::string whole = read_bytes(BERTH_SOURCE_DIR "/tests/golden/checkpoint/TFBertForPreTraining.h5");
    return in("model", "tf_model.h5", change(whole), kEvaluate, "model.safetensors")(p);
  };
}

Make bytes_of_data(const std::function<std::string(const std::string&)>& change) {
  return [=](const Places& p) {
    return file(
        "data.h5", [&] { return change(read_bytes(p.base / "data.h5")); }, kData)(p);
  };
}

const Verb kPredictTags = [](const Places& p, const fs::path& file) {
  return "predict --format text --model " + (p.base / "ner").string() + " --input " + file.string();
};

const Verb kEmbed = [](const Places& p, const fs::path& model) {
  return "predict --embeddings --model " + model.string() + " --input " + (p.base / "train.csv").string() + " --output " +
         (p.folder / "out.npy").string();
};

std::vector<HostileFile> deep_json() {
  const auto under = [](const std::string& key) { return "{\"" + key + "\":" + deep() + "}"; };
  const Verb configured = [](const Places&, const fs::path& path) { return "inspect --config " + path.string() + " x"; };
  return {
      {"config.json", "100,000 brackets", in("model", "config.json", under("architectures"), kEvaluate)},
      {"tokenizer_config.json", "100,000 brackets", in("model", "tokenizer_config.json", under("unk_token"), kTokenize)},
      {"tokenizer.json", "100,000 brackets", in("model", "tokenizer.json", under("normalizer"), kTokenize)},
      {"index of shards", "100,000 brackets",
       in("model", "model.safetensors.index.json", R"({"weight_map":{"x":)" + deep() + "}}", kEvaluate, "model.safetensors")},
      {"safetensors header", "100,000 brackets",
       in("model", "model.safetensors", safetensors("{\"x\":" + deep() + "}"), kEvaluate)},
      {"trainer_state.json", "100,000 brackets", in("run", "trainer_state.json", under("log_history"), kInspect)},
      {"all_results.json", "100,000 brackets", in("run", "all_results.json", under("eval_loss"), kReport)},
      {"provenance.json", "100,000 brackets", in("run", "provenance.json", under("options"), kReport)},
      {"metrics.jsonl", "100,000 brackets, left out", in("run", "metrics.jsonl", under("step"), kReport), 0},
      {"manifest of a checkpoint", "100,000 brackets", in("run/checkpoint-1", "manifest.json", under("files"), kInspect)},
      {"JSON Lines", "100,000 brackets",
       file("deep.jsonl", R"({"text":"a","label":)" + deep() + "}\n", prepare("classification"))},
      {"SQuAD", "100,000 brackets", file("deep.json", R"({"data":[{"paragraphs":)" + deep() + "}]}", prepare("qa"))},
      {"SQuAD", "an id of 100,000 brackets",
       file("id.json", R"([{"question":"a","context":"b","id":)" + deep() + "}]", prepare("qa"))},
      {"modules.json", "100,000 brackets", in("sentences", "modules.json", "[" + under("type") + "]", kEmbed)},
      {"Pooling's config.json", "100,000 brackets", in("sentences", "1_Pooling/config.json", under("pooling_mode"), kEmbed)},
      {"--config", "100,000 brackets", file("options.json", under("seed"), configured), 2},
  };
}

std::vector<HostileFile> claims() {
  const Verb from_scratch = [](const Places& p, const fs::path& model) { return kTrain(p, model) + " --from-scratch"; };
  return {
      {"config.json", "vocab_size 67108864", sizes("vocab_size", 1 << 26, kEvaluate)},
      {"config.json", "hidden_size 65536", sizes("hidden_size", 65536, kTrain)},
      {"config.json", "1024 layers", sizes("num_hidden_layers", 1024, kEvaluate)},
      {"config.json", "1048576 positions", sizes("max_position_embeddings", 1 << 20, kTrain)},
      {"config.json", "an intermediate_size of 1048576", sizes("intermediate_size", 1 << 20, kTrain)},
      {"config.json", "a model of 17 TB, --from-scratch",
       config({{"vocab_size", 1 << 26}, {"hidden_size", 1 << 16}}, from_scratch)},
      {"config.json", "a text for a size", config({{"hidden_size", "768"}}, kEvaluate)},
      {"config.json", "NaN", in("model", "config.json", R"({"model_type":"bert","layer_norm_eps":NaN})", kEvaluate)},
      {"safetensors", "a header of 2^63 bytes",
       in("model", "model.safetensors", little_endian(uint64_t{1} << 63) + "{}", kEvaluate)},
      {"safetensors", "a tensor of 2^60 elements",
       in("model", "model.safetensors",
          safetensors(R"({"x":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4]}})", "1234"), kEvaluate)},
      {"safetensors", "tensors that overlap",
       in("model", "model.safetensors",
          safetensors(
              R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
              "1234"),
          kEvaluate)},
      {"safetensors", "a tensor twice",
       in("model", "model.safetensors",
          safetensors(
              R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
              "12345678"),
          kEvaluate)},
      {"index of shards", "a shard in another folder",
       in("model", "model.safetensors.index.json", R"({"weight_map":{"x":"../../etc/passwd"}})", kEvaluate, "model.safetensors")},
      {"pytorch_model.bin", "a pickle that calls os.system",
       in("model", "pytorch_model.bin", "cos\nsystem\n(S'true'\ntR.", kEvaluate, "model.safetensors")},
      {"safetensors", "its halves swapped",
       [](const Places& p) {
         const std::string bytes = read_bytes(p.base / "model/model.safetensors");
         return in("model", "model.safetensors", halves_swapped(bytes), kEvaluate)(p);
       }},
      {"pytorch_model.bin", "the middle of another file in it",
       [](const Places& p) {
         std::string bytes = read_bytes(BERTH_SOURCE_DIR "/tests/golden/checkpoint/zip.bin");
         bytes.replace(500, 1000, read_bytes(BERTH_SOURCE_DIR "/tests/golden/checkpoint/module.bin").substr(800, 1000));
         return in("model", "pytorch_model.bin", bytes, kEvaluate, "model.safetensors")(p);
       }},
      {"pytorch_model.bin", "a zip archive without an end",
       in("model", "pytorch_model.bin", "PK\3\4" + std::string(1000, 'x'), kEvaluate, "model.safetensors")},
      {"tf_model.h5", "half a file", tf_model([](const std::string& whole) { return whole.substr(0, whole.size() / 2); })},
      {"tf_model.h5", "every hundredth byte flipped", tf_model([](std::string bytes) {
         for (size_t at = 0; at < bytes.size(); at += 100) bytes[at] = static_cast<char>(~bytes[at]);
         return bytes;
       })},
      {"tf_model.h5", "its halves swapped", tf_model(halves_swapped)},
      {"tf_model.h5", "another model's", tf_model([](const std::string& whole) { return whole; })},
      {"tf_model.h5", "a text", tf_model([](const std::string&) { return "text,label\n"; })},
      {"modules.json", "half a file", in("sentences", "modules.json", R"([{"path": "", "type": "sentence_)", kEmbed)},
      {"modules.json", "a path out of the folder",
       in("sentences", "modules.json", R"([{"path": "../../etc", "type": "a.Transformer"}])", kEmbed)},
      {"Pooling's config.json", "half a file", in("sentences", "1_Pooling/config.json", R"({"pooling_mode": "me)", kEmbed)},
      {"Pooling's config.json", "not UTF-8", in("sentences", "1_Pooling/config.json", "{\"pooling_mode\": \"\xff\"}", kEmbed)},
      {"sentence_bert_config.json", "a max_seq_length of 2^63",
       in("sentences", "sentence_bert_config.json", R"({"max_seq_length": 9223372036854775808})", kEmbed), 0},
      {"vocab.txt", "30 million empty lines",
       in(
           "model", "vocab.txt", [] { return std::string(30'000'000, '\n'); }, kTokenize),
       3, 600},
      {"vocab.txt", "one line of 30 MB",
       in(
           "model", "vocab.txt", [] { return std::string(30'000'000, 'x'); }, kTokenize)},
      {"vocab.txt", "not UTF-8", in("model", "vocab.txt", "[PAD]\n\xff\xfe\n", kTokenize)},
      {"tokenizer.json", "an id of -1",
       in("model", "tokenizer.json", R"({"model":{"type":"WordPiece","vocab":{"a":-1}}})", kTokenize, "vocab.txt")},
      {"HDF5", "2 million rows, deflated", rows(true)},
      {"HDF5", "2 million rows, never written", rows(false)},
      {"HDF5", "half a file", bytes_of_data([](const std::string& all) { return all.substr(0, all.size() / 2); })},
      {"HDF5", "its halves swapped", bytes_of_data(halves_swapped)},
      {"HDF5", "in HDF5 1.6's format", bytes_of_data([](std::string all) { return all.replace(8, 1, 1, '\0'); })},
      {"HDF5", "a text", bytes_of_data([](const std::string&) { return std::string("text,label\n"); })},
      {"trainer_state.json", "numbers for records",
       [](const Places& p) {
         auto state = nlohmann::json::parse(read_bytes(p.base / "run/trainer_state.json"));
         state["log_history"] = {1, 2};
         return in(
             "run", "trainer_state.json", [&] { return state.dump(); }, kInspect)(p);
       }},
      {"all_results.json", "not UTF-8", in("run", "all_results.json", "{\"eval_loss\":\"\xff\"}", kReport)},
  };
}

std::vector<HostileFile> rows_of_text() {
  const auto csv = [](const std::string& name, const Bytes& bytes) { return file(name, bytes, prepare("classification")); };
  return {
      {"CSV", "a quote that is never closed, 30 MB",
       csv("quote.csv", [] { return "text,label\n\"" + repeated("a b\n", 7'500'000); })},
      {"CSV", "70,000 columns", csv("wide.csv", [] { return "text,label\n" + std::string(70'000, ',') + "\n"; })},
      {"CSV", "a NUL in a label", csv("nul.csv", std::string("text,label\na,x\nb,y\0z\n", 21))},
      {"CSV", "escape sequences in a label", csv("escape.csv", "text,label\na,\x1b[31mred\nb,\xc2\x9b[2J\n"), 0},
      {"CSV", "escape sequences in a column's name", csv("column.csv", "\x1b]0;title\x07,x\na,b\n")},
      {"CSV", "UTF-16", csv("utf16.csv", std::string("\xff\xfet\0e\0", 6))},
      {"CSV", "a million labels",
       csv("labels.csv",
           [] {
             std::string rows = "text,label\n";
             for (int i = 0; i < 1'000'000; ++i) rows += "a," + std::to_string(i) + "\n";
             return rows;
           })},
      {"JSON Lines", "a line of 65 MiB",
       file(
           "long.jsonl", [] { return "{\"text\":\"" + std::string(65 << 20, 'x') + "\"}"; }, prepare("classification")),
       3, 400},
      {"JSON Lines", "5 million values in a row",
       file(
           "values.jsonl", [] { return "{\"text\":\"a\",\"label\":[" + repeated("[],", 5'000'000) + "1]}"; },
           prepare("classification")),
       3, 600, 4},
      {"JSON Lines", "a number for a text", file("type.jsonl", "{\"text\":1,\"label\":1}\n", prepare("classification"))},
      {"CoNLL", "a line with another number of columns", file("columns.conll", "a b c\na b\n", prepare("ner"))},
      {"CoNLL", "a sentence of 1.5 million words",
       file(
           "words.conll", [] { return repeated("a O\n", 750'000) + repeated("b B\n", 750'000); }, prepare("ner")),
       0, 700, 6},
      {"text of predict", "3 MB in a row, for tags",
       file(
           "row.txt", [] { return repeated("a ", 1'500'000) + "\n"; }, kPredictTags),
       3, 600},
      {"SQuAD", "a title of 30 MB",
       file(
           "title.json", [] { return "{\"title\":\"" + std::string(30'000'000, 'x') + "\",\"data\":[]}"; }, prepare("qa"))},
      {"SQuAD", "a title of 70 MB",
       file(
           "title.json", [] { return "{\"title\":\"" + std::string(70'000'000, 'x') + "\",\"data\":[]}"; }, prepare("qa")),
       3, 400},
      {"SQuAD", "an answer_start of 2^63",
       file("start.json", R"([{"question":"a","context":"b","answers":[{"text":"b","answer_start":9223372036854775808}]}])",
            prepare("qa"))},
  };
}

std::vector<HostileFile> pipes() {
  const Verb rows = [](const Places& p, const fs::path& folder) { return prepare("classification")(p, folder / "rows.csv"); };
  return {
      {"config.json", "/dev/zero", special_in("model", "config.json", kEvaluate, true)},
      {"safetensors", "/dev/zero", special_in("model", "model.safetensors", kEvaluate, true)},
      {"CSV", "/dev/zero", special_in("model", "rows.csv", rows, true)},
      {"config.json", "a pipe", special_in("model", "config.json", kEvaluate)},
      {"vocab.txt", "a pipe", special_in("model", "vocab.txt", kTokenize)},
      {"tokenizer_config.json", "a pipe", special_in("model", "tokenizer_config.json", kTokenize)},
      {"tokenizer.json", "a pipe", special_in("model", "tokenizer.json", kTokenize)},
      {"safetensors", "a pipe", special_in("model", "model.safetensors", kEvaluate)},
      {"index of shards", "a pipe", special_in("model", "model.safetensors.index.json", kEvaluate, false, "model.safetensors")},
      {"tf_model.h5", "a pipe", special_in("model", "tf_model.h5", kEvaluate, false, "model.safetensors")},
      {"modules.json", "a pipe", special_in("sentences", "modules.json", kEmbed)},
      {"modules.json", "/dev/zero", special_in("sentences", "modules.json", kEmbed, true)},
      {"trainer_state.json", "a pipe", special_in("run", "trainer_state.json", kInspect)},
      {"metrics.jsonl", "a pipe", special_in("run", "metrics.jsonl", kReport)},
      {"manifest of a checkpoint", "a pipe", special_in("run/checkpoint-1", "manifest.json", kInspect)},
  };
}

}  // namespace

std::vector<HostileFile> hostile_files() {
  std::vector<HostileFile> all;
  for (const auto& some : {deep_json(), claims(), rows_of_text(), pipes()}) all.insert(all.end(), some.begin(), some.end());
  return all;
}

}  // namespace berth::test
