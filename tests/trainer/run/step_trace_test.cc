#include "trainer/run/step_trace.h"

#include <map>

#include "data/json/json.h"
#include "tests/trainer/run/tiny_run.h"
#include "trainer/run/train_loop.h"

namespace berth::train {
namespace {

class StepTraceTest : public TinyRun {
 protected:
  // The events of a run that traces `steps`.
  nlohmann::json events_of(TraceSteps steps) {
    TrainOptions o = options();
    o.max_steps = 5;
    o.batch.per_device_train_batch_size = 3;
    o.logging.trace_steps = steps;
    const RunFolder folder(o, *comm_);
    train(o, folder, *comm_, {.stop = [] { return false; }});
    return nlohmann::json::parse(test::read_bytes((run() / "trace.json").string()))["traceEvents"];
  }
};

TEST_F(StepTraceTest, HasWhatItsStepsDidAndWhen) {
  std::map<std::string, int> seen;
  double last = 0, begin = 0, end = 0;
  for (const nlohmann::json& event : events_of({2, 4})) {
    EXPECT_EQ(event["pid"], 0);
    EXPECT_EQ(event["tid"], 0);
    if (event["ph"] == "M") {
      const std::string name = event["args"]["name"];
      EXPECT_TRUE(event["name"] == "process_name" ? name.starts_with("rank 0, ") : name == "main") << event;
      continue;
    }
    EXPECT_EQ(event["ph"], "X");
    ++seen[event["name"]];
    EXPECT_GT(event["dur"], event["name"] == "step" ? 1 : -1);
    EXPECT_GE(event["ts"].get<double>() + event["dur"].get<double>(), last) << "in the order in which they end";
    last = event["ts"].get<double>() + event["dur"].get<double>();
    if (event["name"] == "step") begin = event["ts"], end = last;
  }
  EXPECT_LT(begin, end);
  EXPECT_EQ(seen,
            (std::map<std::string, int>{
                {"read data", 3}, {"step", 3}, {"forward", 6}, {"backward", 6}, {"all-reduce bucket", 6}, {"optimizer", 3}}));
}

TEST_F(StepTraceTest, EndsWithTheRun) {
  int steps = 0;
  for (const nlohmann::json& event : events_of({5, 9})) steps += event["name"] == "step" ? 1 : 0;
  EXPECT_EQ(steps, 1);
}

}  // namespace
}  // namespace berth::train
