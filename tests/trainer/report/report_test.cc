#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "data/check.h"
#include "data/files/files.h"
#include "tests/support/temp_dir.h"
#include "trainer/report/event.pb.h"
#include "trainer/report/metrics_file.h"
#include "trainer/report/results.h"
#include "trainer/report/tensorboard.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;

// The payloads of an event file's records (length, its checksum, payload, its checksum).
std::vector<std::string> payloads(std::string bytes) {
  const auto number = [&](size_t at, auto type) {
    std::memcpy(&type, bytes.data() + at, sizeof type);
    return type;
  };
  std::vector<std::string> all;
  while (!bytes.empty()) {
    const auto length = number(0, uint64_t{0});
    EXPECT_EQ(number(8, uint32_t{0}), masked_crc32c(bytes.substr(0, 8)));
    all.push_back(bytes.substr(12, length));
    EXPECT_EQ(number(12 + length, uint32_t{0}), masked_crc32c(all.back()));
    bytes.erase(0, 16 + length);
  }
  return all;
}

class ReportTest : public testing::Test {
 protected:
  fs::path file(const std::string& name) const { return folder_ / name; }
  void append(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::app) << text; }

  std::vector<int64_t> steps_in_metrics() const {
    std::vector<int64_t> steps;
    for (const LogRecord& record : read_records(file("metrics.jsonl"))) steps.push_back(record["step"].get<int64_t>());
    return steps;
  }

  test::TempDir temporary_;
  const fs::path folder_ = temporary_.path();
};

LogReport log_at(int64_t step) {
  return {.step = step,
          .epoch = 0.5,
          .loss = 0.25,
          .learning_rate = 5e-5,
          .grad_norm = 1.5,
          .tokens = 1000,
          .samples = 10,
          .seconds = 2};
}

EvalReport eval_at(int64_t step) {
  return {.step = step, .epoch = 1.0, .metrics = {{"loss", 0.5, MetricKind::kLoss}, {"accuracy", 0.75, MetricKind::kScore}}};
}

TEST_F(ReportTest, MetricsFileHasHuggingFaceNames) {
  MetricsFile metrics(file("metrics.jsonl"), 0);
  metrics.log(log_at(10));
  metrics.eval(eval_at(10));
  EXPECT_EQ(data::read_file(file("metrics.jsonl")),
            "{\"step\":10,\"epoch\":0.5,\"loss\":0.25,\"learning_rate\":5e-05,\"grad_norm\":1.5,\"tokens_per_second\":500.0,"
            "\"samples_per_second\":5.0}\n"
            "{\"step\":10,\"epoch\":1.0,\"eval_loss\":0.5,\"eval_accuracy\":0.75}\n");
}

TEST_F(ReportTest, MetricsFileIsOneCurveOverResumes) {
  {
    MetricsFile metrics(file("metrics.jsonl"), 0);
    for (int64_t step : {10, 20, 30, 40}) metrics.log(log_at(step));
    metrics.eval(eval_at(40));
  }
  append(file("metrics.jsonl"), "{\"step\":50,\"lo");
  const auto history = LogRecord::parse(R"([{"step":10,"loss":1.0},{"step":20,"loss":0.5},{"step":30,"train_runtime":1}])");
  {
    MetricsFile metrics(file("metrics.jsonl"), 20, history);
    EXPECT_EQ(data::read_file(file("metrics.jsonl")), "{\"step\":10,\"loss\":1.0}\n{\"step\":20,\"loss\":0.5}\n");
    metrics.log(log_at(30));
    metrics.finish({.step = 30});
  }
  EXPECT_EQ(steps_in_metrics(), (std::vector<int64_t>{10, 20, 30, 30}));
  MetricsFile after_the_end(file("metrics.jsonl"), 30, history);
  EXPECT_EQ(steps_in_metrics(), (std::vector<int64_t>{10, 20})) << "the closing record is written anew";
}

class ReportOnAFullDisk : public ReportTest {
 protected:
  // The first `visits` writes succeed, the next one leaves half of it, and then the disk has room again.
  static void fail_after(int visits) { ::setenv("BERTH_FAILPOINT", concat("write@", visits + 1, ":SHORT").c_str(), 1); }
  ~ReportOnAFullDisk() override { ::unsetenv("BERTH_FAILPOINT"); }

  void report_to(Sink& sink) {
    for (int64_t step : {10, 20, 30}) sink.log(log_at(step));
    sink.eval(eval_at(30));
    sink.finish({.step = 30});
  }
  std::string metrics_file() {
    {
      MetricsFile metrics(file("metrics.jsonl"), 10, LogRecord::parse(R"([{"step":10,"loss":1.0}])"));
      report_to(metrics);
    }
    return data::read_file(file("metrics.jsonl"));
  }
  // What it says, times apart.
  std::vector<std::string> tensorboard() {
    const test::TempDir folder;
    {
      TensorBoard board(folder.path(), 0);
      report_to(board);
    }
    std::vector<std::string> said;
    for (const auto& entry : fs::directory_iterator(folder.path()))
      for (const std::string& payload : payloads(data::read_file(entry.path()))) {
        events::Event event;
        event.ParseFromString(payload);
        event.clear_wall_time();
        said.push_back(event.SerializeAsString());
      }
    return said;
  }
};

TEST_F(ReportOnAFullDisk, LosesNothingOnceThereIsRoomAgain) {
  const std::string metrics = metrics_file();
  const std::vector<std::string> events = tensorboard();
  ASSERT_EQ(events.size(), 7u);
  for (int visits = 0; visits < 6; ++visits) {
    fail_after(visits);
    EXPECT_EQ(metrics_file(), metrics) << visits;
  }
  for (int visits = 0; visits < 7; ++visits) {
    fail_after(visits);
    EXPECT_EQ(tensorboard(), events) << visits;
  }
}

TEST_F(ReportOnAFullDisk, ResultsAreWrittenLater) {
  std::map<std::string, std::string> whole;
  for (int visits = -1; visits < 4; ++visits) {
    if (visits >= 0) fail_after(visits);
    {
      ResultsSink results(folder_);
      results.eval(eval_at(20));
      results.finish({.step = 20});
    }
    for (const char* name : {"eval_results.json", "train_results.json", "all_results.json"}) {
      const std::string text = data::read_file(file(name));
      EXPECT_EQ(text, whole.emplace(name, text).first->second) << visits;
      fs::remove(file(name));
    }
  }
}

TEST_F(ReportTest, DamagedLinesAreLeftOut) {
  append(file("metrics.jsonl"), "{\"step\":1}\nnonsense\n[]\n{\"step\":\"two\"}\n\n{\"step\":3}\n{\"step\":4");
  EXPECT_EQ(steps_in_metrics(), (std::vector<int64_t>{1, 3}));
}

TEST_F(ReportTest, ValuesThatAreNotFiniteAreNull) {
  const LogRecord record = make_record(1, {{"loss", std::nan(""), MetricKind::kLoss},
                                           {"grad_norm", std::numeric_limits<double>::infinity(), MetricKind::kOther},
                                           {"samples", std::nan(""), MetricKind::kCount}});
  EXPECT_EQ(record.dump(), R"({"step":1,"loss":null,"grad_norm":null,"samples":null})");
}

TEST_F(ReportTest, CountsAreWrittenAsIntegersWhateverTheirNames) {
  const Metrics metrics{{"a_number", 7, MetricKind::kCount}, {"b_number", 7, MetricKind::kScore}};
  EXPECT_EQ(make_record(1, metrics).dump(), R"({"step":1,"a_number":7,"b_number":7.0})");
  write_results(folder_, "eval", metrics);
  EXPECT_EQ(data::read_file(file("eval_results.json")), "{\n    \"a_number\": 7,\n    \"b_number\": 7.0\n}\n");
}

TEST_F(ReportTest, ResultsAreSortedAndGathered) {
  ResultsSink results(folder_);
  results.eval(eval_at(20));
  results.finish({.step = 20,
                  .epoch = 2,
                  .loss = 0.5,
                  .seconds = 10,
                  .tokens = 1000,
                  .samples = 160,
                  .flops = 1.5e15,
                  .most_flops = 4e15,
                  .memory = {.cpu = 3 << 20, .gpu = 5 << 20},
                  .device = "NVIDIA H200"});
  EXPECT_EQ(data::read_file(file("eval_results.json")),
            "{\n    \"epoch\": 1.0,\n    \"eval_accuracy\": 0.75,\n    \"eval_loss\": 0.5\n}\n");
  EXPECT_EQ(data::read_file(file("all_results.json")),
            "{\n    \"epoch\": 2.0,\n    \"eval_accuracy\": 0.75,\n    \"eval_loss\": 0.5,\n    \"total_flos\": 1.5e+15,\n"
            "    \"train_device\": \"NVIDIA H200\",\n    \"train_loss\": 0.5,\n    \"train_mem_cpu_peak\": 3145728,\n"
            "    \"train_mem_gpu_peak\": 5242880,\n    \"train_mfu\": 0.375,\n    \"train_runtime\": 10.0,\n    "
            "\"train_samples_per_second\": 16.0,\n    \"train_steps_per_second\": 2.0,\n"
            "    \"train_tokens_per_second\": 100.0\n}\n");
}

// Values from RFC 3720 (iSCSI), appendix B.4, masked as TFRecord does.
TEST(Tfrecord, ChecksumsEqualKnownVectors) {
  const auto unmask = [](uint32_t masked) {
    const uint32_t rotated = masked - 0xa282ead8u;
    return (rotated >> 17) | (rotated << 15);
  };
  EXPECT_EQ(unmask(masked_crc32c(std::string(32, '\0'))), 0x8a9136aau);
  EXPECT_EQ(unmask(masked_crc32c(std::string(32, '\xff'))), 0x62a8ab43u);
  std::string ascending;
  for (char c = 0; c < 32; ++c) ascending += c;
  EXPECT_EQ(unmask(masked_crc32c(ascending)), 0x46dd794eu);
  EXPECT_EQ(unmask(masked_crc32c("123456789")), 0xe3069283u);
}

TEST(Tfrecord, FramesHoldTheirPayload) {
  const std::string bytes = frame_record("hello") + frame_record("") + frame_record(std::string(1000, 'x'));
  EXPECT_EQ(payloads(bytes), (std::vector<std::string>{"hello", "", std::string(1000, 'x')}));
}

TEST_F(ReportTest, EventFilesBeginWithVersionAndSessionAndSortByTime) {
  for (const int64_t resume_step : {0, 20}) {
    TensorBoard sink(folder_, resume_step);
    sink.log(log_at(resume_step + 10));
    sink.eval(eval_at(resume_step + 10));
  }
  std::vector<fs::path> files(fs::directory_iterator(folder_), fs::directory_iterator{});
  std::sort(files.begin(), files.end());
  ASSERT_EQ(files.size(), 2u);
  std::vector<events::Event> read;
  for (const std::string& payload : payloads(data::read_file(files[1])))
    ASSERT_TRUE(read.emplace_back().ParseFromString(payload));
  ASSERT_EQ(read.size(), 4u);
  EXPECT_EQ(read[0].file_version(), "brain.Event:2");
  EXPECT_EQ(read[1].session_log().status(), events::SessionLog::START);
  EXPECT_EQ(read[1].step(), 21);
  EXPECT_EQ(read[2].step(), 30);
  EXPECT_EQ(read[2].summary().value(0).tag(), "train/epoch");
  EXPECT_EQ(read[2].summary().value(1).tag(), "train/loss");
  EXPECT_EQ(read[2].summary().value(1).simple_value(), 0.25f);
  EXPECT_EQ(read[3].summary().value(0).tag(), "eval/loss");
  EXPECT_EQ(read[3].summary().value_size(), 2);
}

TEST_F(ReportTest, AnEventSaysThatAValueIsZero) {
  TensorBoard(folder_, 0).log({.step = 10});
  const fs::path written = fs::directory_iterator(folder_)->path();
  events::Event event;
  ASSERT_TRUE(event.ParseFromString(payloads(data::read_file(written)).at(2)));
  ASSERT_EQ(event.summary().value_size(), 6);
  for (const auto& value : event.summary().value()) EXPECT_TRUE(value.has_simple_value()) << value.tag();
}

}  // namespace
}  // namespace berth::train
