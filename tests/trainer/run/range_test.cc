// What a profiler sees of a run: this program is one, which NVTX finds by a symbol instead of a library.
#include <nvtx3/nvToolsExt.h>

#include <map>
#include <mutex>

#include "tests/trainer/run/tiny_run.h"
#include "trainer/run/train_loop.h"

namespace berth::train {
namespace {

std::mutex mutex;
thread_local std::vector<std::string> open_ranges;
std::map<std::string, int> seen;  // by path: "step/forward"

int NVTX_API push(const char* name) {
  open_ranges.emplace_back(name);
  std::string path;
  for (const std::string& range : open_ranges) path += (path.empty() ? "" : "/") + range;
  const std::lock_guard lock(mutex);
  ++seen[path];
  return static_cast<int>(open_ranges.size());
}
int NVTX_API pop() {
  EXPECT_FALSE(open_ranges.empty());
  open_ranges.pop_back();
  return static_cast<int>(open_ranges.size());
}

int NVTX_API attach(NvtxGetExportTableFunc_t get_export_table) {
  const auto* table = static_cast<const NvtxExportTableCallbacks*>(get_export_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable functions = nullptr;
  unsigned int size = 0;
  if (!table || !table->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &functions, &size)) return 0;
  *functions[NVTX_CBID_CORE_RangePushA] = reinterpret_cast<NvtxFunctionPointer>(push);
  *functions[NVTX_CBID_CORE_RangePop] = reinterpret_cast<NvtxFunctionPointer>(pop);
  return 1;
}

// Three steps of two micro-batches, the last with an evaluation and a checkpoint; all parameters are in one bucket and a table.
TEST_F(TinyRun, AProfilerSeesWhatARunDoes) {
  InitializeInjectionNvtx2_fnptr = attach;
  TrainOptions o = options();
  o.max_steps = 3;
  o.batch.per_device_train_batch_size = 3;
  o.eval_save.eval_strategy = o.eval_save.save_strategy = Strategy::kSteps;
  o.eval_save.eval_steps = o.eval_save.save_steps = 3;
  const RunFolder folder(o, *comm_);
  train(o, folder, *comm_, {.stop = [] { return false; }});
  EXPECT_TRUE(open_ranges.empty());
  EXPECT_EQ(seen["read data"], 3);
  EXPECT_EQ(seen["step"], 3);
  EXPECT_EQ(seen["step/forward"], 6);
  EXPECT_EQ(seen["step/backward"], 6);
  EXPECT_EQ(seen["step/backward/all-reduce bucket"], 6) << "in the last micro-batch alone";
  EXPECT_EQ(seen["step/optimizer"], 3);
  EXPECT_EQ(seen["evaluate"], 1);
  EXPECT_EQ(seen["save"], 1);
  EXPECT_EQ(seen.size(), 8u);
}

}  // namespace
}  // namespace berth::train
