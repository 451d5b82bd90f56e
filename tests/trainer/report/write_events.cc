// Writes the event files of a run that is killed at step 40 and resumed from its checkpoint of step 20, for tensorboard_check.py.
#include "trainer/report/tensorboard.h"

int main(int argc, char** argv) {
  using namespace berth::train;
  if (argc != 2) return 2;
  for (const int64_t start : {0, 20}) {
    TensorBoard sink(argv[1], start);
    for (int64_t step = start + 10; step <= 40; step += 10) {
      sink.log({.step = step,
                .epoch = 0.01 * static_cast<double>(step),
                .loss = static_cast<double>(step + start),
                .learning_rate = 5e-5});
      sink.eval(
          {.step = step,
           .metrics = {{"loss", 0.5, MetricKind::kLoss}, {"accuracy", 0.25 + static_cast<double>(start), MetricKind::kScore}}});
    }
    if (start > 0) sink.finish({.step = 40, .loss = 0.125});
  }
}
