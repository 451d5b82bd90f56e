// Token classification from words and tags to entities: the real program on real ranks.
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>

#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

constexpr const char* kNames[] = {"ban", "bas", "bat", "ben", "bes"};
constexpr const char* kSurnames[] = {"fanzzq", "faszzq", "fatzzq", "fenzzq", "feszzq"};
constexpr const char* kPlaces[] = {"dan", "das", "dat", "den", "des"};

// Sentences of 3 to 12 words, of which names (PER, one or two words) and places (LOC) can be learned.
void write_sentences(const std::string& path, int sentences, unsigned seed) {
  std::mt19937 random(seed);
  std::ofstream out(path);
  out << "-DOCSTART- -X- O\n\n";
  for (int i = 0; i < sentences; ++i) {
    const int words = 3 + static_cast<int>(random() % 10);
    for (int w = 0; w < words; ++w) {
      const auto kind = random() % 5;
      if (kind == 0) out << kPlaces[random() % 5] << " NN B-LOC\n";
      if (kind == 1) out << kNames[random() % 5] << " NN B-PER\n" << kSurnames[random() % 5] << " NN I-PER\n";
      if (kind > 1) out << "tus NN O\n";
    }
    out << "\n";
  }
}

class TokenJob : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    dir_ = std::make_unique<TempDir>();
    write_tiny_model(*dir_ / "model");
    write_sentences(at("train.conll"), 125, 1);
    write_sentences(at("validation.conll"), 41, 2);
    const JobResult result =
        run_berth("prepare --task ner --train-file " + at("train.conll") + " --validation-file " + at("validation.conll") +
                  " --tokenizer " + at("model") + " --max-length 32 --output " + at("data.h5"));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    ASSERT_EQ(
        train("run", "--ignore-mismatched-sizes --max-steps 40 --learning-rate 5e-3 --global-batch-size 8 --save-strategy no")
            .exit_code,
        0);
  }

  static nlohmann::json evaluate(const std::string& options, int ranks = 1) {
    const JobResult result = run_berth("evaluate --model " + at("run") + " --data " + at("data.h5") + " " + options, ranks);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    nlohmann::json metrics = nlohmann::json::parse(result.out);
    for (const char* timed : {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}) metrics.erase(timed);
    return metrics;
  }

  // The JSON lines that `berth predict` gives.
  static std::string predict(const std::string& options, int ranks = 1) {
    const JobResult result = run_berth("predict --model " + at("run") + " --output " + at("out.jsonl") + " " + options, ranks);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return read_bytes(at("out.jsonl"));
  }
};

// Sentences have different numbers of targets, so that a mean of the ranks' means would be another loss.
TEST_F(TokenJob, SameLossesAndMetricsOnAnyRankCount) {
  const std::string options =
      "--ignore-mismatched-sizes --global-batch-size 12 --num-train-epochs 1 --hidden-dropout-prob 0 "
      "--attention-probs-dropout-prob 0 --save-strategy no "
      "--eval-strategy epoch --metric-for-best-model f1";
  ASSERT_EQ(train("ranks1", options).exit_code, 0);
  const auto reference = losses(at("ranks1"));
  ASSERT_EQ(reference.size(), 11u);
  for (int ranks : {2, 3}) {
    const std::string run = "ranks" + std::to_string(ranks);
    const JobResult result = train(run, options, ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expect_near(losses(at(run)), reference, run);
  }
  const nlohmann::json one = evaluate("--return-entity-level-metrics");
  EXPECT_GT(one["eval_f1"], 0.9) << "the tags can be learned from the words";
  const std::string file = read_bytes(at("validation.conll"));
  int entities = 0;
  for (size_t i = file.find(" B-"); i != std::string::npos; i = file.find(" B-", i + 1)) ++entities;
  EXPECT_TRUE(one["eval_LOC_number"].is_number_integer());
  EXPECT_EQ(one["eval_LOC_number"].get<int>() + one["eval_PER_number"].get<int>(), entities);
  for (int ranks : {2, 3, 5, 8}) EXPECT_EQ(evaluate("--return-entity-level-metrics", ranks), one) << ranks << " ranks";
}

TEST_F(TokenJob, PredictsEntitiesOfPlainSentencesAndOfWords) {
  std::ofstream(at("sentences.txt")) << "tus ban, faszzq tus: dan!\ntus tus\n";
  std::ofstream(at("words.jsonl")) << R"({"tokens": ["tus", "bat", "feszzq", "dén"]})"
                                   << "\n";
  const std::string plain = predict("--format text --input " + at("sentences.txt"));
  const auto first = nlohmann::json::parse(plain.substr(0, plain.find('\n')));
  EXPECT_EQ(first["tokens"], (nlohmann::json{"tus", "ban", ",", "faszzq", "tus", ":", "dan", "!"}));
  ASSERT_FALSE(first["entities"].empty());
  for (const auto& entity : first["entities"])
    EXPECT_EQ(entity["text"],
              first["text"].get<std::string>().substr(entity["start"], entity["end"].get<int>() - entity["start"].get<int>()));
  const auto words = nlohmann::json::parse(predict("--logits --input " + at("words.jsonl")));
  EXPECT_EQ(words["text"], "tus bat feszzq dén");
  EXPECT_EQ(words["tokens"], (nlohmann::json{"tus", "bat", "feszzq", "dén"}));
  EXPECT_EQ(words["tags"], (nlohmann::json{"O", "B-PER", "I-PER", "B-LOC"}));
  ASSERT_EQ(words["entities"].size(), 2u);
  EXPECT_EQ(words["entities"][0]["text"], "bat feszzq");
  EXPECT_EQ(words["entities"][1]["text"], "dén");
  EXPECT_EQ(words["entities"][1]["start"], 15);
  EXPECT_EQ(words["entities"][1]["end"], 18);
  EXPECT_EQ(words["logits"].size(), 4u);
  EXPECT_EQ(words["logits"][0].size(), 4u);
  const JobResult people = run_berth("predict --model " + at("run") + " --text \"tus dan tus\"");
  EXPECT_EQ(people.out.substr(0, 44), "Text: tus dan tus => Entities: dan [LOC] (0.") << people.out;
}

// A sentence of 300 words does not fit into 32 tokens: all of them are tagged, from windows.
TEST_F(TokenJob, LongSentencesLoseNoWord) {
  std::string sentence, expected;
  for (int i = 0; i < 300; ++i) sentence += i % 7 == 0 ? "dan " : i % 7 == 1 ? "benzzqzzq " : "tus ";
  std::ofstream(at("long.txt")) << sentence << "\n";
  const auto one = nlohmann::json::parse(predict("--max-length 32 --format text --input " + at("long.txt")));
  ASSERT_EQ(one["tags"].size(), 300u);
  int places = 0;
  for (size_t i = 0; i < 300; ++i) places += i % 7 == 0 && one["tags"][i] == "B-LOC";
  EXPECT_GT(places, 40) << one["tags"];
}

TEST_F(TokenJob, TheSameBytesOnAnyRankCount) {
  const std::string options = "--logits --max-length 16 --per-device-eval-batch-size 3 --input " + at("validation.conll");
  const std::string one = predict(options);
  EXPECT_EQ(std::count(one.begin(), one.end(), '\n'), 41);
  for (int ranks : {2, 3, 5}) EXPECT_TRUE(predict(options, ranks) == one) << ranks << " ranks";
}

// Sentences in one scheme: a file in which a word alone decides its tag (das stands behind dan only), and one that contradicts.
struct Format {
  const char* name;
  std::map<std::string, std::string> tags;  // of each word
  std::vector<std::string> contradicting;   // tags of kSentences
  const char* scheme;
  double accuracy;
};

const std::vector<std::string> kSentences{"tus ban fan tus dan das", "ban fan tus dan", "tus dan ban fan", "tus tus bas",
                                          "ban fan tus"};

using Tags = std::vector<std::string>;
const std::map<std::string, std::string> kIob2{{"tus", "O"},     {"ban", "B-PER"}, {"fan", "I-PER"},
                                               {"dan", "B-LOC"}, {"das", "B-LOC"}, {"bas", "B-PER"}};
const Tags kIob2Contradicting{"O B-PER I-PER O B-LOC B-LOC", "B-PER I-PER O O", "O B-LOC O O", "O B-LOC B-PER", "B-PER O O"};
const std::vector<Format> kFormats{
    {"bioes.conll",
     {{"tus", "O"}, {"ban", "B-PER"}, {"fan", "E-PER"}, {"dan", "S-LOC"}, {"das", "S-LOC"}, {"bas", "S-PER"}},
     {"O B-PER E-PER O S-LOC S-LOC", "B-PER E-PER O O", "O S-LOC O O", "O S-LOC S-PER", "S-PER O O"},
     "BIOES",
     0.7},
    {"iob1.conll",
     {{"tus", "O"}, {"ban", "I-PER"}, {"fan", "I-PER"}, {"dan", "I-LOC"}, {"das", "B-LOC"}, {"bas", "I-PER"}},
     {"O I-PER I-PER O I-LOC B-LOC", "I-PER I-PER O O", "O I-LOC O O", "O I-LOC I-PER", "I-PER O O"},
     "IOB1",
     0.75},
    {"atis", kIob2, kIob2Contradicting, "IOB2", 0.75},
    {"slots.jsonl", kIob2, kIob2Contradicting, "IOB2", 0.75}};

Tags split(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

std::string joined(const Tags& words, const std::string& separator) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : separator) + word;
  return text;
}

// In the format that the name stands for.
void write_tagged(const std::string& path, const std::vector<std::pair<Tags, Tags>>& sentences) {
  if (path.ends_with("atis")) std::filesystem::create_directories(path);
  std::ofstream file(path.ends_with("atis") ? path + "/seq.in" : path), out(path.ends_with("atis") ? path + "/seq.out" : "");
  for (const auto& [words, tags] : sentences) {
    if (path.ends_with("atis")) {
      file << joined(words, " ") << "\n";
      out << joined(tags, " ") << "\n";
    } else if (path.ends_with(".jsonl")) {
      file << nlohmann::json{{"tokens", words}, {"ner_tags", tags}} << "\n";
    } else {
      for (size_t w = 0; w < words.size(); ++w) file << words[w] << " " << tags[w] << "\n";
      file << "\n";
    }
  }
}

class TokenFormat : public TokenJob, public testing::WithParamInterface<Format> {
 protected:
  static Tags tags_by_word(const Tags& words) {
    Tags tags;
    for (const std::string& word : words) tags.push_back(GetParam().tags.at(word));
    return tags;
  }
};

// The figures are counted by hand, and seqeval's, too. Of PER, 4 are labelled, 5 found, 3 of them right; of LOC 4, 4 and 3.
TEST_P(TokenFormat, EntitiesOfALearnedRuleAreScoredAsCountedByHand) {
  const Format& format = GetParam();
  for (const char* folder : {"rule", "other"}) std::filesystem::create_directories(at(folder));
  const std::string rule = at("rule/") + format.name, other = at("other/") + format.name,
                    data = at(format.name) + std::string(".h5"), run = at(format.name) + std::string("_run");
  std::vector<std::pair<Tags, Tags>> learned, contradicting;
  for (int i = 0; i < 60; ++i) {
    const Tags words = split(kSentences[static_cast<size_t>(i) % kSentences.size()]);
    learned.emplace_back(words, tags_by_word(words));
  }
  for (size_t i = 0; i < kSentences.size(); ++i) contradicting.emplace_back(split(kSentences[i]), split(format.contradicting[i]));
  write_tagged(rule, learned);
  write_tagged(other, contradicting);
  const JobResult prepared = run_berth("prepare --task ner --train-file " + rule + " --validation-file " + other +
                                       " --tokenizer " + at("model") + " --max-length 32 --output " + data);
  ASSERT_EQ(prepared.exit_code, 0) << prepared.err;
  EXPECT_NE(prepared.out.find(std::string("tags     ") + format.scheme), std::string::npos) << prepared.out;
  const JobResult trained =
      run_berth("train --ignore-mismatched-sizes --model " + at("model") + " --data " + data + " --output-dir " + run +
                " --max-steps 30 --learning-rate 5e-3 --save-strategy no --disable-tqdm");
  ASSERT_EQ(trained.exit_code, 0) << trained.err;

  ASSERT_EQ(run_berth("predict --model " + run + " --input " + other + " --output " + at("tags.jsonl")).exit_code, 0);
  const auto predictions = read_jsonl(at("tags.jsonl"));
  ASSERT_EQ(predictions.size(), kSentences.size());
  for (const auto& prediction : predictions)
    ASSERT_EQ(prediction["tags"], tags_by_word(prediction["tokens"].get<Tags>())) << "the rule was learned";

  for (const std::string& scheme : {std::string("lenient"), std::string(format.scheme)}) {
    const JobResult result =
        run_berth("evaluate --return-entity-level-metrics --seqeval-scheme " + scheme + " --model " + run + " --data " + data);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const auto metrics = nlohmann::json::parse(result.out);
    const std::map<std::string, double> expected{
        {"precision", 6. / 9},  {"recall", 6. / 8}, {"f1", 12. / 17},          {"PER_precision", 3. / 5},
        {"PER_recall", 3. / 4}, {"PER_f1", 6. / 9}, {"LOC_precision", 3. / 4}, {"LOC_recall", 3. / 4},
        {"LOC_f1", 3. / 4},     {"PER_number", 4},  {"LOC_number", 4},         {"accuracy", format.accuracy}};
    for (const auto& [name, value] : expected)
      EXPECT_NEAR(metrics["eval_" + name].get<double>(), value, 1e-12) << name << ", " << scheme;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, TokenFormat, testing::ValuesIn(kFormats), [](const auto& info) {
  const std::string name = info.param.name;
  return name.substr(0, name.find('.'));
});

TEST_F(TokenJob, SaysWhatIsWrongWithWordsAndTags) {
  const auto prepare = [&](const std::string& name, const std::string& content) {
    std::ofstream(at(name)) << content;
    return run_berth("prepare --task ner --train-file " + at(name) + " --tokenizer " + at("model") + " --output " + at("x.h5"));
  };
  const std::map<std::string, std::pair<std::string, std::string>> wrong{
      {"one.conll", {"tus\nban\n", "the file has one column, expected words and tags"}},
      {"ragged.conll", {"tus O\nban\n", "line 2: the line has 1 columns instead of 2"}},
      {"ragged.jsonl", {R"({"tokens": ["a", "b"], "ner_tags": ["O"]})", "row 1 (line 1): there are 2 words and 1 tags"}},
      {"missing.jsonl", {R"({"tokens": ["a", "b"], "pos": ["O"]})", "no column with a usual name for the tags"}},
      {"text.csv", {"text,label\na,b\n", "words and tags are read from CoNLL files"}}};
  for (const auto& [name, both] : wrong) {
    const JobResult result = prepare(name, both.first);
    EXPECT_NE(result.exit_code, 0) << name;
    EXPECT_NE(result.err.find(both.second), std::string::npos) << name << ": " << result.err;
  }
  const std::map<std::string, std::pair<std::string, std::string>> schemes{
      {"iob2.conll", {"a B-X\nb I-X\nc O\n", "tags     IOB2\n"}},
      {"iob1.conll", {"a I-X\nb B-X\nc O\n", "tags     IOB1\n"}},
      {"bioes.conll", {"a B-X\nb E-X\nc S-Y\nd O\n", "tags     BIOES\n"}},
      {"broken.conll",
       {"a B-X\n\na B-X\nb B-Y\nb I-X\nc O\n", "tags     IOB2, which does not hold for 1 tag, the first in row 2"}}};
  for (const auto& [name, both] : schemes) {
    const JobResult result = prepare(name, both.first);
    EXPECT_EQ(result.exit_code, 0) << name << result.err;
    EXPECT_NE((result.out + result.err).find(both.second), std::string::npos) << name << ": " << result.out << result.err;
  }
  const JobResult columns = run_berth("predict --model " + at("run") + " --input " + at("train.txt"));
  EXPECT_NE(columns.err.find("(--format conll or text)"), std::string::npos) << columns.err;
  const JobResult strict = run_berth("evaluate --seqeval-scheme IOB3 --model " + at("run") + " --data " + at("data.h5"));
  EXPECT_EQ(strict.exit_code, 2);
  EXPECT_NE(strict.err.find("unknown tag scheme 'iob3'"), std::string::npos) << strict.err;
}

}  // namespace
}  // namespace berth::test
