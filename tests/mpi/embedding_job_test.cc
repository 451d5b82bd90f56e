// Texts as vectors, on any number of ranks.
#include <cmath>
#include <cstring>
#include <fstream>

#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

class EmbeddingJob : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    TinyJob::SetUpTestSuite();
    std::ofstream texts(at("texts.txt"));
    for (int i = 0; i < 100; ++i)
      texts << (i % 2 == 0 ? "ban bas" : "tus") << std::string(static_cast<size_t>(i % 7), 'a') << "\n";
    texts << "\nban\n";
  }

  static JobResult embed(const std::string& model, const std::string& output, const std::string& options = "", int ranks = 1) {
    return run_berth(
        "predict --embeddings --model " + at(model) + " --input " + at("texts.txt") + " --output " + at(output) + " " + options,
        ranks);
  }
  static std::vector<std::vector<float>> vectors(const std::string& output) {
    std::vector<std::vector<float>> all;
    for (const auto& record : read_jsonl(at(output))) all.push_back(record["embedding"]);
    return all;
  }
};

TEST_F(EmbeddingJob, TheSameBytesOnAnyRankCount) {
  for (const std::string suffix : {".npy", ".h5", ".jsonl"}) {
    ASSERT_EQ(embed("model", "one" + suffix).exit_code, 0);
    for (const int ranks : suffix == ".npy" ? std::vector{2, 3, 5} : std::vector{2}) {
      const JobResult result = embed("model", "more" + suffix, "", ranks);
      ASSERT_EQ(result.exit_code, 0) << result.err;
      EXPECT_TRUE(read_bytes(at("more" + suffix)) == read_bytes(at("one" + suffix))) << suffix << " on " << ranks << " ranks";
    }
  }
  const auto rows = vectors("one.jsonl");
  ASSERT_EQ(rows.size(), 101u) << "an empty line is no text";
  const std::string npy = read_bytes(at("one.npy"));
  ASSERT_EQ(npy.size(), 128 + rows.size() * 32 * 4);
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(std::memcmp(npy.data() + 128 + i * 128, rows[i].data(), 128), 0) << i;
}

TEST_F(EmbeddingJob, TheHeadDoesNotMatterAndTheFolderSaysHow) {
  ASSERT_EQ(train("run", "--max-steps 2 --save-strategy no --freeze encoder").exit_code, 0);
  ASSERT_EQ(embed("model", "a.jsonl").exit_code, 0);
  ASSERT_EQ(embed("run", "b.jsonl").exit_code, 0);
  EXPECT_EQ(vectors("a.jsonl"), vectors("b.jsonl"));

  const std::string type = R"("type": "sentence_transformers.models.)";
  write_bytes(at("run/modules.json"), "[{" + type + "Transformer\", \"path\": \"\"}, {" + type +
                                          "Pooling\", \"path\": \"1_Pooling\"}, {" + type +
                                          "Normalize\", \"path\": \"2_Normalize\"}]");
  write_bytes(at("run/1_Pooling/config.json"), R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
  ASSERT_EQ(embed("run", "said.jsonl").exit_code, 0);
  ASSERT_EQ(embed("model", "asked.jsonl", "--pooling cls --normalize-embeddings").exit_code, 0);
  const auto said = vectors("said.jsonl");
  EXPECT_EQ(said, vectors("asked.jsonl"));
  EXPECT_NE(said, vectors("a.jsonl"));
  double squares = 0;
  for (const double x : said[3]) squares += x * x;
  EXPECT_NEAR(squares, 1, 1e-6);
  ASSERT_EQ(embed("run", "mean.jsonl", "--pooling mean --normalize-embeddings false").exit_code, 0);
  EXPECT_EQ(vectors("mean.jsonl"), vectors("a.jsonl"));

  write_bytes(at("run/1_Pooling/config.json"), R"({"pooling_mode": "lasttoken"})");
  const JobResult other = embed("run", "other.npy", "", 2);
  EXPECT_EQ(other.exit_code, 3);
  EXPECT_NE(other.err.find("pools its tokens by lasttoken"), std::string::npos) << other.err;
  EXPECT_FALSE(std::filesystem::exists(at("other.npy")));
}

TEST_F(EmbeddingJob, SimilarityIsTheCosine) {
  write_bytes(at("pairs.csv"), "a,b\nban bas,tus\nban bas,ban bas\n");
  const std::string columns = " --text-column a --text-pair-column b --input " + at("pairs.csv");
  const JobResult result =
      run_berth("predict --similarity --model " + at("model") + " --output " + at("pairs.jsonl") + columns, 2);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  write_bytes(at("both.txt"), "ban bas\ntus\n");
  ASSERT_EQ(run_berth("predict --embeddings --normalize-embeddings --model " + at("model") + " --input " + at("both.txt") +
                      " --output " + at("both.jsonl"))
                .exit_code,
            0);
  const auto rows = vectors("both.jsonl");
  double product = 0;
  for (size_t i = 0; i < rows[0].size(); ++i) product += double{rows[0][i]} * rows[1][i];
  const auto pairs = read_jsonl(at("pairs.jsonl"));
  EXPECT_NEAR(pairs[0]["similarity"].get<double>(), product, 1e-6);
  EXPECT_NEAR(pairs[1]["similarity"].get<double>(), 1, 1e-6);
  const JobResult people =
      run_berth("predict --similarity --model " + at("model") + " --text \"ban bas\" --text-pair \"ban bas\"");
  EXPECT_EQ(people.out, "Text: ban bas | ban bas => Similarity: 1.0000\n");
}

TEST_F(EmbeddingJob, WhatDoesNotFitIsAnError) {
  const std::string model = "predict --text ban --model " + at("model");
  const auto expect = [&](const std::string& options, int code, const std::string& what) {
    const JobResult result = run_berth(model + " " + options);
    EXPECT_EQ(result.exit_code, code) << options;
    EXPECT_NE(result.err.find(what), std::string::npos) << result.err;
  };
  expect("--pooling mean", 2, "are for --embeddings and --similarity");
  expect("--embeddings --pooling median", 2, "--pooling median is not known");
  expect("--embeddings --pooling pooler", 2, "embeddings take cls, mean or max");
  expect("--embeddings --similarity", 2, "give one of them");
  expect("--embeddings --model " + at("model"), 2, "take one --model");
  expect("--similarity --output " + at("out.npy"), 2, ".npy and .h5 are for --embeddings");
  expect("--output " + at("out.tsv"), 2, "name it .csv");
  expect("--output " + at("out.h5"), 2, ".npy and .h5 are for --embeddings");
  expect("--similarity", 3, "has one text");
}

}  // namespace
}  // namespace berth::test
