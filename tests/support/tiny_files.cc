#include "tests/support/tiny_files.h"

#include <random>
#include <sstream>

#include "data/tokenizer/bert_tokenizer.h"
#include "tests/support/temp_dir.h"
#include "trainer/tasks/instance.h"
#include "trainer/use/pretrained.h"

namespace berth::test {

namespace fs = std::filesystem;

namespace {

const std::vector<std::string>& words() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> made;
    const std::string consonants = "bdfgklmnprst", vowels = "aeiou";
    for (char a : consonants)
      for (char b : vowels)
        for (char c : {'n', 'r', 's', 't'}) made.push_back({a, b, c});
    return made;
  }();
  return all;
}

}  // namespace

void write_tiny_model(const fs::path& folder, const std::string& model_type) {
  fs::create_directories(folder);
  std::ofstream vocab(folder / "vocab.txt");
  int size = 0;
  const auto token = [&](const std::string& text) {
    vocab << text << "\n";
    ++size;
  };
  for (const char* special : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) token(special);
  for (const std::string& word : words()) token(word);
  for (char c = 'a'; c <= 'z'; ++c) {
    token({c});
    token({'#', '#', c});
  }
  for (const char* mark : {".", ",", "!", "?"}) token(mark);
  vocab.close();
  train::BertConfig config;
  config.family = &train::find_family(model_type, "tiny model");
  config.family->set_defaults(config);
  config.vocab_size = size;
  if (config.embedding_size > 0) config.embedding_size = 24;
  config.hidden_size = 32;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.intermediate_size = 64;
  config.max_position_embeddings = 64;
  config.initializer_range = 0.1;
  config.label_names = {"LABEL_0", "LABEL_1"};
  const auto comm = comm::make_local_communicator();
  train::ModelInstance model(config, data::TaskKind::kSequenceClassification, *comm);
  model.initialize(7);
  const data::BertTokenizer tokenizer = data::BertTokenizer::load(folder / "vocab.txt");
  train::save_pretrained(folder, config, model.architecture().name, model.parameters(), [&](const fs::path& to) {
    return tokenizer.save(to, static_cast<int>(config.max_position_embeddings), config.class_name("BertTokenizer"));
  });
}

void write_tiny_reviews(const fs::path& csv, int rows, unsigned seed) {
  std::mt19937 random(seed);
  std::ofstream out(csv);
  out << "text,label\n";
  for (int row = 0; row < rows; ++row) {
    const bool positive = random() % 2 == 0;
    const int length = 3 + static_cast<int>(random() % 38);
    std::string text;
    for (int i = 0; i < length; ++i) {
      // The first half of the vocabulary is likelier in positive texts, the second half in negative ones.
      const size_t half = words().size() / 2;
      const bool first_half = (random() % 4 != 0) == positive;
      text += (i ? " " : "") + words()[random() % half + (first_half ? 0 : half)];
    }
    out << text << "," << (positive ? "positive" : "negative") << "\n";
  }
}

void write_tiny_questions(const fs::path& json, int count, unsigned seed) {
  std::mt19937 random(seed);
  nlohmann::json paragraphs = nlohmann::json::array();
  for (int number = 0; number < count; ++number) {
    const size_t length = 5 + random() % 86, place = random() % (length - 2);
    std::string context;
    nlohmann::json question{{"id", std::to_string(number)}, {"answers", nlohmann::json::array()}};
    int64_t code_points = 0, start = 0;
    std::string answer;
    for (size_t i = 0; i < length; ++i) {
      const bool odd = random() % 10 == 0;
      const std::string word = words()[random() % words().size()] + (odd ? "é" : "");
      if (i == place) question["question"] = word;
      if (i == place + 1) start = code_points;
      if (i == place + 1 || i == place + 2) answer += (answer.empty() ? "" : " ") + word;
      context += (i > 0 ? " " : "") + word;
      code_points += static_cast<int64_t>(word.size()) - odd + 1;
    }
    question["is_impossible"] = number % 4 == 3;
    if (number % 4 == 3)
      question["question"] = words()[random() % words().size()];
    else
      question["answers"] = {{{"text", answer}, {"answer_start", start}}};
    paragraphs.push_back({{"context", context}, {"qas", {question}}});
  }
  std::ofstream(json) << nlohmann::json{{"version", "v2.0"}, {"data", {{{"title", "t"}, {"paragraphs", paragraphs}}}}};
}

void write_tiny_choices(const fs::path& csv, int count, int choices, unsigned seed) {
  std::mt19937 random(seed);
  const auto word = [&] { return words()[random() % words().size()]; };
  std::ofstream out(csv);
  out << "sent1,sent2";
  for (int choice = 0; choice < choices; ++choice) out << ",ending" << choice;
  out << ",label\n";
  for (int row = 0; row < count; ++row) {
    const std::string right = word();
    const int label = static_cast<int>(random() % static_cast<unsigned>(choices));
    out << right << " " << right << "," << word();
    for (int choice = 0; choice < choices; ++choice) out << "," << (choice == label ? right : word() + " " + word());
    out << "," << label << "\n";
  }
}

std::vector<nlohmann::json> read_jsonl(const fs::path& path) {
  std::istringstream in(read_bytes(path));
  std::vector<nlohmann::json> records;
  for (std::string line; std::getline(in, line);) records.push_back(nlohmann::json::parse(line));
  return records;
}

std::map<int64_t, double> losses(const fs::path& run) {
  std::map<int64_t, double> by_step;
  for (const auto& record : read_jsonl(run / "metrics.jsonl"))
    if (record.contains("loss")) by_step[record["step"]] = record["loss"];
  return by_step;
}

}  // namespace berth::test
