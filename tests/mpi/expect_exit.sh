#!/bin/sh
# expect_exit.sh CODE REGEX COMMAND…: passes if COMMAND ends with CODE and prints exactly one line that matches REGEX.
expected=$1
regex=$2
shift 2
output=$("$@" 2>&1)
code=$?
printf '%s\n' "$output"
if [ "$code" -ne "$expected" ]; then
  echo "expected exit code $expected, got $code"
  exit 1
fi
count=$(printf '%s\n' "$output" | grep -cE "$regex")
if [ "$count" -ne 1 ]; then
  echo "expected exactly one line that matches: $regex; got $count"
  exit 1
fi
