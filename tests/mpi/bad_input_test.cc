// Bad input ends with one clear error, the right exit code, and nothing half-written.
#include <fstream>

#include "data/store/dataset.h"
#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;

class BadInput : public TinyJob {
 protected:
  void SetUp() override { before_ = files(); }

  static std::set<std::string> files() {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(dir_->path())) names.insert(entry.path().string());
    return names;
  }

  // The command fails with `code` and prints one error line that holds `text`.
  static void expect_error(const JobResult& result, int code, const std::string& text) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    int lines = 0;
    std::istringstream in(result.err);
    for (std::string line; std::getline(in, line);) lines += line.starts_with("berth: ");
    EXPECT_EQ(lines, 1) << result.err;
    EXPECT_NE(result.err.find(text), std::string::npos) << result.err;
  }

  JobResult prepare(const std::string& csv, const std::string& options = "") {
    std::ofstream(at("bad.csv")) << csv;
    const JobResult result = run_berth("prepare --train-file " + at("bad.csv") + " --tokenizer " + at("model") + " --output " +
                                       at("bad.h5") + " " + options);
    fs::remove(at("bad.csv"));
    EXPECT_EQ(files(), before_);
    return result;
  }

  // A run folder may exist afterwards, but neither model nor checkpoint.
  void expect_no_model(const std::string& run) {
    if (!fs::exists(at(run))) return;
    for (const auto& entry : fs::recursive_directory_iterator(at(run))) {
      EXPECT_NE(entry.path().filename(), "model.safetensors");
      EXPECT_FALSE(entry.path().filename().string().starts_with("checkpoint-")) << entry.path();
    }
    fs::remove_all(at(run));
  }

  std::set<std::string> before_;
};

TEST_F(BadInput, Files) {
  expect_error(prepare(""), 3, "bad.csv");
  expect_error(prepare("text,label\n"), 3, "bad.csv");
  expect_error(prepare("words,label\na,0\nb,1\n", "--text-column text"), 3, "words, label");
  expect_error(prepare("text,label\na,0\nb,0\n"), 3, "one class");
  expect_error(prepare("text,label\na,0\nb\n"), 3, "row 2");
  expect_error(prepare("text,label\na,0\n\xff\xfe,1\n"), 3, "row 2");
}

// A file for a task, and what is said of it.
struct OddFile {
  const char* task;
  const char* name;
  std::string content;
  std::vector<std::string> says;
};

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

std::string question(const char* id, const std::string& context, const std::string& answer, int start) {
  return nlohmann::json{
             {"id", id}, {"question", "ban"}, {"context", context}, {"answers", {{"text", {answer}}, {"answer_start", {start}}}}}
             .dump() +
         "\n";
}

std::string sentence(const std::vector<std::string>& words, const std::vector<std::string>& tags) {
  return nlohmann::json{{"tokens", words}, {"ner_tags", tags}}.dump() + "\n";
}

std::vector<OddFile> odd_files() {
  const std::string text = repeated("ban bas ", 60);
  const std::vector<std::string> fifty(50, "ban"), tags(50, "B-X");
  return {{"qa --doc-stride 8",
           "odd.jsonl",
           question("good", "ban bas bat", "bas", 4) + question("shifted", "ban bas bat", "bas", 5) +
               question("long", text, text.substr(0, 400), 0) + question("empty", "", "bas", 0),
           {"warning  2 answers do not stand where their answer_start says", "warning  2 answers are empty or fit into no window",
            "warning  1 row with an empty text"}},
          {"ner",
           "odd.jsonl",
           sentence({"ban"}, {"B-X"}) + sentence({"ban", "bas"}, {"I-X", "O"}) + sentence(fifty, tags) + sentence({}, {}),
           {"IOB2, which does not hold for 1 tag, the first in row 2", "1 sample (25.0%) cut to 24",
            "warning  1 row with an empty text"}},
          {"classification",
           "odd.csv",
           "text,label\n,a\nban,b\n" + text + ",a\n",
           {"warning  1 row with an empty text", "1 sample (33.3%) cut to 24"}},
          {"classification --doc-stride 8",
           "odd.csv",
           "text,label\n,a\nban,b\n" + text + ",a\n",
           {"warning  1 row with an empty text", "windows  10 of 3 texts; 1 longer than 24 tokens, up to 8 windows of one"}},
          {"multiple-choice",
           "odd.csv",
           "sent1,sent2,ending0,ending1,ending2,label\n,,ban,bas,,1\nban,bas," + text + ",bat,ben,2\n",
           {"2 rows, 5 sequences", "warning  1 row with an empty text", "1 sample (50.0%) cut to 24"}},
          {"next-sentence-prediction",
           "odd.csv",
           "text,text_pair,label\n,,0\nban," + text + ",1\n",
           {"warning  1 row with an empty text", "1 sample (50.0%) cut to 24"}},
          {"mlm --line-by-line",
           "odd.csv",
           "text,label\n,a\nban,b\n" + text + ",a\n",
           {"1 text without tokens left out", "1 sample (50.0%) cut to 24"}},
          {"pretraining", "odd.txt", "ban bas\nbat\n\n\x01\n\nben bes\nban\n", {"1 document without tokens left out"}}};
}

// What the reference's scripts take is taken, but counted and said; the data set trains and evaluates.
TEST_F(BadInput, OddRowsOfEachTaskAreCountedAndSaid) {
  for (const OddFile& odd : odd_files()) {
    const std::string file = at(odd.name), data = at("odd.h5");
    std::ofstream(file) << odd.content;
    const JobResult prepared = run_berth(std::string("prepare --max-length 24 --task ") + odd.task + " --train-file " + file +
                                         " --validation-file " + file + " --tokenizer " + at("model") + " --output " + data);
    EXPECT_EQ(prepared.exit_code, 0) << odd.task << prepared.err;
    for (const std::string& text : odd.says)
      EXPECT_NE(prepared.out.find(text), std::string::npos) << odd.task << ": " << text << "\n" << prepared.out;
    const JobResult trained = run_berth(
        "train --ignore-mismatched-sizes --max-steps 2 --eval-strategy steps --eval-steps 2 --save-strategy no "
        "--disable-tqdm --model " +
        at("model") + " --data " + data + " --output-dir " + at("odd"));
    EXPECT_EQ(trained.exit_code, 0) << odd.task << trained.err;
    EXPECT_TRUE(fs::exists(at("odd") + "/eval_results.json")) << odd.task;
    for (const std::string& left : {file, data, at("odd")}) fs::remove_all(left);
  }
}

TEST_F(BadInput, FilesOfEachTaskThatCannotBeRead) {
  const std::vector<OddFile> wrong{
      {"ner", "tags.jsonl", R"({"tokens": ["ban"], "pos": ["O"]})", {"no column with a usual name for the tags"}},
      {"ner", "words.conll", "ban\nbas\n", {"the file has one column, expected words and tags"}},
      {"ner", "more.jsonl", R"({"tokens": ["ban"], "ner_tags": ["O", "O"]})", {"there are 1 words and 2 tags"}},
      {"qa --doc-stride 22", "room.jsonl", question("x", repeated("ban ", 40), "ban", 0), {"allow a greater maximum length"}},
      {"mlm", "short.txt", "ban\n", {"less than one block of 24: use a smaller --max-length, or --line-by-line"}},
      {"mlm --line-by-line", "blank.txt", "\n\n", {"there are no rows for the train split"}},
      {"pretraining", "one.txt", "ban\nbas\n", {"separate documents by blank lines"}}};
  for (const OddFile& odd : wrong) {
    std::ofstream(at(odd.name)) << odd.content;
    before_ = files();
    expect_error(run_berth(std::string("prepare --max-length 24 --task ") + odd.task + " --train-file " + at(odd.name) +
                           " --tokenizer " + at("model") + " --output " + at("odd.h5")),
                 3, odd.says[0]);
    EXPECT_EQ(files(), before_);
    fs::remove(at(odd.name));
  }
}

TEST_F(BadInput, AnUnknownLabelInAnotherSplit) {
  std::ofstream(at("other.csv")) << "text,label\na,2\n";
  before_ = files();
  expect_error(prepare("text,label\na,0\nb,1\n", "--validation-file " + at("other.csv")), 3, "other.csv");
  fs::remove(at("other.csv"));
}

TEST_F(BadInput, TheCommandLine) {
  expect_error(run_berth("trian"), 2, "did you mean train?");
  expect_error(run_berth("train --learning-rat 1"), 2, "did you mean --learning-rate?");
  expect_error(run_berth("train"), 2, "berth train needs --model (pretrained BERT");
  expect_error(train("run", "--max-steps 1 --lr-scheduler-type linaer"), 2, "cosine");
  expect_error(train("run", "--global-batch-size 2", 3), 2, "3 ranks");
  expect_error(train("run", "--load-best-model-at-end"), 2, "--eval-strategy");
  expect_error(train("run", "--num-train-epochs 1e30"), 2, "--num-train-epochs 1e+30");
  expect_error(train("run", "--threads 100000"), 2, "--threads must lie from 0 to 1024");
  expect_no_model("run");
}

TEST_F(BadInput, Models) {
  expect_error(run_berth("train --model " + at("nowhere") + " --data " + at("data.h5") + " --output-dir " + at("run"), 2), 3,
               "nowhere");
  expect_no_model("run");

  fs::copy(at("model"), at("other_vocab"));
  std::ofstream(at("other_vocab") + "/vocab.txt", std::ios::app) << "more\n";
  expect_error(run_berth("train --model " + at("other_vocab") + " --data " + at("data.h5") + " --output-dir " + at("run"), 2), 3,
               "vocabulary");
  expect_no_model("run");

  fs::copy(at("model"), at("truncated"));
  fs::resize_file(at("truncated") + "/model.safetensors", fs::file_size(at("truncated") + "/model.safetensors") / 2);
  expect_error(run_berth("train --model " + at("truncated") + " --data " + at("data.h5") + " --output-dir " + at("run"), 2), 3,
               "model.safetensors");
  expect_no_model("run");
  for (const char* name : {"other_vocab", "truncated"}) fs::remove_all(at(name));
}

// What the file system itself refuses, and what no model is asked of it.
TEST_F(BadInput, PathsAndModelsThatCannotBeUsed) {
  const std::string data = " --data " + at("data.h5"), rest = data + " --output-dir " + at("run");
  fs::create_symlink("loop", at("loop"));
  expect_error(run_berth("train --model " + at("loop") + rest, 2), 3, at("loop") + ": Too many levels of symbolic links");
  expect_error(run_berth("predict --text a --model " + at("loop")), 3, at("loop"));
  expect_error(run_berth("inspect " + at("loop")), 3, at("loop"));
  fs::copy(at("model"), at("sharded"));
  fs::remove(at("sharded") + "/model.safetensors");
  const std::string shard = std::string(300, 'a') + ".safetensors";
  std::ofstream(at("sharded") + "/model.safetensors.index.json")
      << nlohmann::json{{"weight_map", {{"bert.pooler.dense.bias", shard}}}};
  expect_error(run_berth("train --model " + at("sharded") + rest, 2), 3, shard + ": File name too long");
  auto config = nlohmann::json::parse(read_bytes(at("sharded") + "/config.json"));
  config.erase("id2label");
  std::ofstream(at("sharded") + "/config.json") << config;
  expect_error(run_berth("evaluate --model " + at("sharded") + data, 2), 3, "config.json: names no labels");
  expect_no_model("run");
  for (const char* name : {"loop", "sharded"}) fs::remove_all(at(name));

  // A path that is not UTF-8 is a path like any other.
  const std::string latin1 = at("mod\xe8le");
  fs::copy(at("model"), latin1);
  EXPECT_EQ(run_berth("train --model " + latin1 + data + " --max-steps 1 --output-dir " + latin1 + "/run").exit_code, 0);
  EXPECT_EQ(run_berth("evaluate --model " + latin1 + "/run" + data).exit_code, 0);
  fs::remove_all(latin1);
}

TEST_F(BadInput, DataSets) {
  fs::copy(at("data.h5"), at("truncated.h5"));
  fs::resize_file(at("truncated.h5"), fs::file_size(at("data.h5")) / 2);
  const std::string common = " --model " + at("model") + " --output-dir " + at("run") + " --max-steps 2";
  expect_error(run_berth("train --data " + at("truncated.h5") + common, 2), 3, "truncated.h5");
  expect_error(run_berth("train --data " + at("missing.h5") + common, 2), 3, "missing.h5");
  expect_error(run_berth("train --data " + at("train.csv") + common, 2), 3, "train.csv");
  expect_error(run_berth("evaluate --model " + at("model") + " --data " + at("data.h5") + " --split test"), 3,
               "--split test: " + at("data.h5") + " has the splits train, validation");
  expect_no_model("run");
  fs::remove(at("truncated.h5"));
}

// It is found when the samples are read, by all ranks or by one: in the first step, or the first evaluation. The ranks end together.
TEST_F(BadInput, ADamagedSplit) {
  const std::string prepare_texts = "prepare --task mlm --max-length 24 --train-file " + at("train.csv") + " --validation-file " +
                                    at("validation.csv") + " --tokenizer " + at("model") + " --output ";
  ASSERT_EQ(run_berth(prepare_texts + at("texts.h5")).exit_code, 0);
  for (const char* name : {"train", "validation"}) {
    data::Batch batch;
    const int64_t first = 0;
    data::Dataset::open(at("texts.h5"))->split(name)->read(std::span(&first, 1), batch);
    const std::vector<uint16_t> ids(batch.input_ids.begin(), batch.input_ids.end());
    const std::string bytes(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(uint16_t));
    // As each rank finds it in its own folder.
    for (const char* folder : {"whole", "damaged"}) {
      fs::create_directory(at(folder));
      fs::copy_file(at("texts.h5"), at(folder) + "/texts.h5", fs::copy_options::overwrite_existing);
    }
    flip_bit(at("damaged/texts.h5"), read_bytes(at("texts.h5")).find(bytes), 0);
    const std::string damaged = "env --chdir=" + at("damaged") + " ", whole = "env --chdir=" + at("whole") + " ";
    for (const auto& [first, last] : {std::pair(0, 1), std::pair(0, 0), std::pair(1, 1)}) {
      const JobResult result = run_berth(
          "train --ignore-mismatched-sizes --eval-strategy steps --eval-steps 1 --max-steps 2 --save-strategy no "
          "--disable-tqdm --data texts.h5 --model " +
              at("model") + " --output-dir " + at("run"),
          2, Disturbance{.first = first, .last = last, .of_ranks = damaged, .of_others = whole, .of_job = {}});
      expect_error(result, 3, std::string("texts.h5: ") + name);
      EXPECT_EQ(result.err.find("MPI_ABORT"), std::string::npos) << result.err;
      expect_no_model("run");
    }
  }
  for (const char* name : {"texts.h5", "whole", "damaged"}) fs::remove_all(at(name));
}

TEST_F(BadInput, OutputFolders) {
  // Root may write anywhere, but not below a file.
  expect_error(
      run_berth("train --model " + at("model") + " --data " + at("data.h5") + " --output-dir " + at("data.h5") + "/run", 2), 3,
      "data.h5/run");
  ASSERT_EQ(train("kept", "--max-steps 2").exit_code, 0);
  const std::string model = read_bytes(at("kept") + "/model.safetensors");
  expect_error(train("kept", "--max-steps 2 --resume-from-checkpoint none"), 2, "--overwrite-output-dir");
  const std::string weights = read_bytes(at("model/model.safetensors"));
  expect_error(train("model", "--max-steps 2 --overwrite-output-dir"), 2, "is the folder of --model");
  EXPECT_TRUE(read_bytes(at("model/model.safetensors")) == weights);
  expect_error(train("kept", "--max-steps 3"), 2, "--allow-change max_steps");
  EXPECT_TRUE(read_bytes(at("kept") + "/model.safetensors") == model);
  EXPECT_EQ(train("kept", "--max-steps 3 --overwrite-output-dir").exit_code, 0);
  fs::remove_all(at("kept"));
}

// A step that is not finite stops all ranks with exit code 4 and says where it was.
TEST_F(BadInput, Divergence) {
  const JobResult result = train("diverged", "--max-steps 20 --learning-rate 1e30 --max-grad-norm 0", 2);
  expect_error(result, 4, "is not finite");
  EXPECT_NE(result.err.find("samples"), std::string::npos) << result.err;
  expect_no_model("diverged");
}

}  // namespace
}  // namespace berth::test
