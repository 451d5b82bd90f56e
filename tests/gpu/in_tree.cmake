# gpu_tests in berth's own build: linked, so that it keeps linking, out of the objects of berth_trainer that the stand-alone project
# (CMakeLists.txt) compiles; not run, since a GPU is needed for that.
include(${CMAKE_CURRENT_LIST_DIR}/sources.cmake)
list(JOIN BERTH_GPU_SOURCES "|" wanted)
string(REPLACE "." "\\." wanted "${wanted}")
add_executable(gpu_tests gpu/model_test.cc gpu/nccl_test.cc gpu/thread_communicator.cc)
target_link_libraries(gpu_tests PRIVATE berth_flags berth_kernels torch::cuda nccl::nccl GTest::gtest_main $<TARGET_OBJECTS:berth_cuda_backend>
                                        "$<FILTER:$<TARGET_OBJECTS:berth_trainer>,INCLUDE,/(${wanted})\\.o$>")
set_target_properties(gpu_tests PROPERTIES BUILD_RPATH ${TORCH_LIB_DIR}/../../nvidia/nccl/lib)
# The precompiled header was made with Boost.Log's definitions.
target_compile_definitions(gpu_tests PRIVATE $<TARGET_PROPERTY:berth_log,INTERFACE_COMPILE_DEFINITIONS>)
target_precompile_headers(gpu_tests REUSE_FROM berth_trainer)
