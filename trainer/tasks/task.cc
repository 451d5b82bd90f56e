#include "trainer/tasks/task.h"

#include "data/check.h"
#include "trainer/tasks/sequence.h"

namespace berth::train {

const Task& find_task(data::TaskKind kind) {
  switch (kind) {
    case data::TaskKind::kSequenceClassification:
      return sequence_classification();
    default:
      fail(ExitCode::kUsage, "task ", data::task_info(kind).name, " cannot be trained by this version of berth");
  }
}

}  // namespace berth::train
