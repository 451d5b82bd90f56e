// The model card: what is from outside in it, and whose README.md it may replace. (huggingface_hub reads one in tests/golden/compare_run.py.)
#include "trainer/report/model_card.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace berth::train {
namespace {

using nlohmann::ordered_json;
using test::read_bytes;
using test::TempDir;
using test::write_bytes;

ModelCard some_card() {
  ModelCard card;
  card.name = "run";
  card.model_class = "BertForSequenceClassification";
  card.task = "sequence-classification";
  card.base_model = "org/name";
  card.base_is_hub_name = true;
  card.data = "reviews.h5";
  card.samples = {{"train", 10}, {"validation", 1}};
  card.labels = {{"negative", 4}, {"positive", 6}};
  card.evaluation = {{"eval_loss", 0.5}, {"eval_accuracy", 0.75}, {"eval_runtime", 1.5}, {"epoch", 1.0}, {"step", 5}};
  card.hyperparameters = {{"learning_rate", "5e-05"}};
  card.jobs = {{{"slurm_job_id", "17"}, {"ranks", 2}, {"from_step", 0}},
               {{"slurm_job_id", "18"}, {"ranks", 2}, {"from_step", 3}}};
  card.commands = {"berth prepare", "mpirun -np 2 berth train"};
  return card;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(ModelCard, HasTheHubsHead) {
  const std::string text = to_markdown(some_card());
  EXPECT_EQ(text.substr(0, text.find("\n---\n") + 5),
            "---\nlibrary_name: transformers\nbase_model: \"org/name\"\npipeline_tag: text-classification\ntags:\n- "
            "berth\nmetrics:\n- accuracy\n"
            "model-index:\n- name: \"run\"\n  results:\n  - task:\n      type: text-classification\n      name: Text "
            "Classification\n    dataset:\n"
            "      name: \"reviews.h5\"\n      type: \"reviews.h5\"\n      split: validation\n    metrics:\n    - type: "
            "accuracy\n      name: accuracy\n"
            "      value: 0.75\n---\n");
  EXPECT_TRUE(has(text, "- loss: 0.5\n- accuracy: 0.75\n")) << text;
  EXPECT_TRUE(has(text, "| negative | 4 |")) << text;
  EXPECT_TRUE(has(text, "| 3 | 18 |")) << text;
  EXPECT_TRUE(has(text, "berth prepare\nmpirun -np 2 berth train\n")) << text;
}

TEST(ModelCard, WithoutEvaluationOrHubNameThereIsNoResult) {
  ModelCard card = some_card();
  card.evaluation = nullptr;
  card.base_is_hub_name = false;
  const std::string text = to_markdown(card), head = text.substr(0, text.find("\n---\n"));
  EXPECT_FALSE(has(head, "model-index") || has(head, "base_model") || has(head, "metrics")) << head;
  card = some_card();
  card.evaluation["eval_accuracy"] = nullptr;  // NaN
  EXPECT_FALSE(has(to_markdown(card), "accuracy"));
}

TEST(ModelCard, TextFromOutsideStaysText) {
  ModelCard card = some_card();
  card.name = "a\n---\nb\x1b[31m\"";
  card.labels = {{"x|y\n## z <script>`", 1}};
  card.data_sha256 = {{"[a](b).csv", "00"}};
  const std::string text = to_markdown(card);
  EXPECT_FALSE(has(text, "\n---\nb"));
  EXPECT_FALSE(has(text, "\x1b"));
  EXPECT_FALSE(has(text, "\n## z"));
  EXPECT_TRUE(has(text, "| x\\|y\\\\x0a\\#\\# z \\<script\\>\\` | 1 |")) << text;
  EXPECT_TRUE(has(text, "| \\[a\\](b).csv |")) << text;
}

TEST(ModelCard, ReplacesItsOwnAndNoOtherFile) {
  const TempDir dir;
  ModelCard card = some_card();
  ASSERT_TRUE(write_model_card(dir.path(), to_markdown(card)));
  card.name = "other";
  ASSERT_TRUE(write_model_card(dir.path(), to_markdown(card)));
  EXPECT_EQ(read_bytes(dir / "README.md"), to_markdown(card));
  write_bytes(dir / "README.md", "mine");
  EXPECT_FALSE(write_model_card(dir.path(), to_markdown(card)));
  EXPECT_EQ(read_bytes(dir / "README.md"), "mine");
  std::filesystem::remove(dir / "README.md");
  std::filesystem::create_symlink(dir / "nowhere", dir / "README.md");
  EXPECT_FALSE(write_model_card(dir.path(), to_markdown(card)));
}

}  // namespace
}  // namespace berth::train
