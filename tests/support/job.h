// Whole jobs in tests: a tiny model and data set on disk, and the real program under the real mpiexec.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace berth::test {

// A folder of the test's own, removed at the end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

struct JobResult {
  int exit_code = 0;
  std::string out;  // standard output
  std::string err;
};

// Runs a shell command line; its environment is this process's plus `environment`.
JobResult run_shell(const std::string& command, const std::map<std::string, std::string>& environment = {});

// Runs `berth arguments` on `ranks` ranks of one thread each (1: without mpiexec).
JobResult run_berth(const std::string& arguments, int ranks = 1, const std::map<std::string, std::string>& environment = {});

// A BERT of 2 layers and hidden size 32 with random weights and a vocabulary of a few hundred words, as a Hugging Face folder.
void write_tiny_model(const std::filesystem::path& folder);

// `rows` rows "text,label" with texts of 3 to 40 words of that vocabulary; the label (negative or positive) can be learned from
// the words.
void write_tiny_reviews(const std::filesystem::path& csv, int rows, unsigned seed = 1);

// Questions as SQuAD 2.0 has them, `count` of them, about contexts of 5 to 90 of those words, some of them with a letter of
// several bytes. The question is a word; the answer are the two words behind it; of every fourth question there is none.
void write_tiny_questions(const std::filesystem::path& json, int count, unsigned seed = 1);

std::string read_bytes(const std::filesystem::path& path);
std::vector<nlohmann::json> read_jsonl(const std::filesystem::path& path);
// The "loss" of each record of a metrics.jsonl that has one, by step.
std::map<int64_t, double> losses(const std::filesystem::path& run);

}  // namespace berth::test
