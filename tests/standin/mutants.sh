#!/usr/bin/env bash
# mutants.sh SOURCE BUILD: breaks the GPU path in one place after the other; each time a test on the stand-ins must fail. First the unbroken
# programs, built in the same way, must pass. BUILD is a folder of Ninja's in which standin_job_test and the programs on the stand-ins are built.
set -euo pipefail
source=$1 build=$2
scratch=$(mktemp -d "${TMPDIR:-/tmp}/berth-mutants.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
export OMP_NUM_THREADS=1
build=$(cd "$build" && pwd)
cd "$build"
ln -s "$build"/tests/standin/lib{cudart,nccl,cublasLt,nvidia-ml}.so.* "$build/tests/standin/libtorch_cuda.so" "$scratch/"
survived=0

# make FILE SED…: gpu_tests, berth and its GPU library in $scratch, with that file changed.
make_programs() {
  local file=$1 changed=$scratch/${1##*/} folder=${1%/*} object command part program
  shift
  object=$folder/CMakeFiles/berth_${folder//\//_}.dir/${file##*/}.o
  case $file in *.cu) object=tests/standin/CMakeFiles/standin_kernels.dir/__/__/$file.o ;; esac
  sed -E "$@" "$source/$file" >"$changed"
  command=$(ninja -t commands "$object" | tail -n 1)
  command=${command/"-c $source/$file"/"-c $changed"}
  command=${command/"-o $object"/"-o $scratch/mutant.o"}
  command=${command/"-MF $object.d"/"-MF $scratch/mutant.d"}
  eval "$command"
  cp berth tests/standin/libberth_cuda.so "$scratch/" # but for the one of them that the file is part of
  case $file in
    trainer/comm/nccl/* | *.cu) part=tests/standin/libberth_cuda.so ;;
    *) part=berth ;;
  esac
  for program in tests/standin/gpu_tests_on_standins "$part"; do
    command=$(ninja -t commands "$program" | tail -n 1)
    command=${command/"-o $program"/"-o $scratch/${program##*/}"}
    case $command in # objects of libraries are taken only where nothing else has their symbols
      *" $object "*) command=${command/" $object "/" $scratch/mutant.o "} ;;
      *"/libberth_${folder//\//_}.a"*) command=${command/" -o $scratch"/" $scratch/mutant.o -o $scratch"} ;;
      *) cp "$program" "$scratch/" && continue ;; # it has nothing of the file
    esac
    eval "$command"
  done
}

# 0 if the tests pass; what they said is in $scratch/log.
tests_pass() {
  STANDIN_GPUS=2 timeout 200 "$source/tests/standin/run.sh" tests/standin "$scratch/gpu_tests_on_standins" \
    --gtest_filter=-*LearnsABatch >"$scratch/log" 2>&1 &&
    STANDIN_GPUS=8 CUDA_VISIBLE_DEVICES=0,1,2,3,4,5,6,7 \
      BERTH_PROGRAM="$source/tests/standin/run.sh $scratch $scratch/berth" \
      timeout 200 ./standin_job_test --gtest_filter='*BitsDoNot*:*AsTheCpu:*OnAnyRankCount/0:*WhatOverflows*:*SharedMoments*' >"$scratch/log" 2>&1
}

mutant() { # NAME FILE SED…
  local name=$1 file=$2
  shift 2
  if sed -E "$@" "$source/$file" | cmp -s - "$source/$file"; then
    echo "no such place in $file: $name"
    survived=1
    return
  fi
  make_programs "$file" "$@"
  if tests_pass; then
    echo "SURVIVED: $name ($file)"
    survived=1
  else
    echo "caught: $name: $(grep -m 1 -E 'race|Failure|Expected all tensors|host touched|berth: ' "$scratch/log" | cut -c 1-150)"
  fi
}

nccl=trainer/comm/nccl/nccl_communicator.cc
make_programs $nccl ''
if ! tests_pass; then
  tail -n 40 "$scratch/log"
  echo "the unbroken programs fail"
  exit 1
fi

mutant "a reduction does not wait for the gradients" $nccl '/ready\.block/d'
mutant "nor does its event hold what was computed" $nccl '/ready\.record/d'
mutant "the caller does not wait for a reduction" $nccl 's/if \(job\.ticket == ticket\) job\.done\.block.*/(void)job, (void)ticket;/'
mutant "a reduction's event is recorded before it" $nccl -e '/done\.record/d' -e 's/(  ready\.block\(stream_\);)/\1 done.record(stream_);/'
mutant "a broadcast is not waited for" $nccl 's/^  wait\(enqueue\("broadcast"/  (void)(enqueue("broadcast"/'
mutant "the gather of the norm's parts is not waited for" trainer/optim/device_step.cc 's/comm\.wait\((comm\.start_all_gather\(.*)\);/(void)\1;/'
mutant "a layer does not await the other ranks' values" trainer/model/bert.cc '/await_values\(\*layers_/d'
mutant "values are awaited that have not come" trainer/model/parameters.cc 's/comm_\.wait\(gathers_\.front\(\)\.ticket\);//'
mutant "the norm is of a rank's own part" trainer/optim/device_step.cc '/if \(of_a_rank_ > 0\)/d'
mutant "the other ranks' values stay as they were" trainer/optim/device_step.cc '/parameters_\.start_gather\(b\);/d'
mutant "the optimizer does not wait for gradients" trainer/optim/grad_reducer.cc 's/for \(const comm::Ticket ticket : tickets_\) comm_\.wait\(ticket\);//'
mutant "the loss stays on the host" trainer/run/train_step.cc 's/(losses = at::zeros\(\{std::ssize\(micro_batches\)\}), targets\.options\(\)\)/\1)/'
mutant "the step's report is read before the device has written it" trainer/optim/device_step.cc 's/if \(report\.done\) report\.done->synchronize\(\);//'
mutant "the event of the step's report comes before the report" trainer/optim/device_step.cc -e '/report\.done->record/d' -e 's/(  report\.scalars\.copy_)/  if (report.done) report.done->record(current_stream());\n\1/'
mutant "steps share one report" trainer/optim/device_step.cc 's/(started_|finished_)\+\+ % kMostStarted/\1++ % 1/'
mutant "steps behind one that is not finite update" trainer/kernels/cuda/adamw.cu 's/!s\.halted && //'
mutant "the norm is of the scaled gradient" trainer/kernels/cuda/adamw.cu 's/norm \/ scale/norm/'
mutant "fp16 begins without its scale" trainer/run/train_step.cc 's/share\.backward\(.*\);/share.backward();/'
mutant "a resume begins with the first scale" trainer/run/train_setup.cc 's/scale \? \*scale : scale/scale/'
mutant "a batch stays on the host" trainer/model/upload.cc 's/const at::Tensor memory = .*/const at::Tensor memory = host;/'
mutant "an upload's memory is written again before the copy" trainer/model/upload.cc 's/(if \(!device\.is_cpu\(\)\) memory\.copy_.*)/\1\n  std::memset(bytes, 0, static_cast<size_t>(bytes_));/'
mutant "a batch is used before its copy has ended" trainer/model/device_batch.cc 's/copied_\.block.*/(void)device;/'
mutant "the event of a batch's copy comes before the copy" trainer/model/device_batch.cc -e '/copied_\.record/d' -e 's/(  batch_ = to_device)/  if (!copies.device().is_cpu()) copied_.record(copies);\n\1/'
mutant "a batch's memory is given back while the GPU reads it" trainer/run/train_step.cc 's/(  forward_backward\(step, made\);)/\1\n  made.data.micro_batches.clear();/'
mutant "outputs are looked at before they are there" trainer/use/evaluate.cc 's/there_\.synchronize\(\);//'
mutant "the event of the outputs comes before their copy" trainer/use/evaluate.cc -e '/there_\.record/d' -e 's/(    logits_ = model\.model\(\))/    if (!device.is_cpu()) there_.record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));\n\1/'
mutant "a checkpoint is written before its copy has ended" trainer/run/host_copy.cc 's/&tensor != last_of_device/true/'
mutant "blocks of the optimizer overlap" trainer/kernels/cuda/adamw.cu 's/\(blockIdx\.x \* int64_t/(blockIdx.x \/ 2 * int64_t/'
exit $survived
