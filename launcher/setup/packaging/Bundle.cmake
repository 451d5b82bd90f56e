# Run by cpack between installing and packing. The tarball takes along what berth needs besides libtorch, for machines that have none of it;
# the .deb names packages instead. Left to the machine are
#   the C and C++ libraries, which its other libraries share: it needs those of the machine that berth was built on, or newer ones;
#   MPI and what that needs, which know its network;
#   the driver of its GPUs.
# Whatever the umask: a .deb whose usr/ only root may read would take /usr from everyone else.
file(CHMOD_RECURSE ${CPACK_TEMPORARY_INSTALL_DIRECTORY}
     DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

# Licences, besides those that `cmake --install` found in wheels: of the packages that files are from which are packed, or compiled into berth.
set(prefix ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/${CPACK_PACKAGING_INSTALL_PREFIX})
set(docs ${prefix}/${CPACK_BERTH_DOCS})
find_program(DPKG_QUERY dpkg-query)
function(add_licenses)
  foreach(file ${ARGN})
    execute_process(COMMAND ${DPKG_QUERY} -S */${file} OUTPUT_VARIABLE package ERROR_QUIET)
    string(REGEX REPLACE "[:,].*" "" package "${package}")
    if(NOT EXISTS /usr/share/doc/${package}/copyright)
      message(WARNING "no licence is known of ${file}: add it before you pass the package on")
      continue()
    endif()
    file(READ /usr/share/doc/${package}/copyright text)
    file(WRITE ${docs}/licenses/${package}/copyright "${text}")
    string(REGEX MATCHALL "/usr/share/common-licenses/[A-Za-z0-9.+-]*[A-Za-z0-9]" texts "${text}")
    foreach(text ${texts})
      file(COPY ${text} DESTINATION ${docs}/licenses/common-licenses FOLLOW_SYMLINK_CHAIN)
    endforeach()
  endforeach()
endfunction()
add_licenses(CLI/CLI.hpp nlohmann/json.hpp boost/log/trivial.hpp)
if(EXISTS ${prefix}/lib/berth/libgomp.so.1)  # GCC's, of whose licence libtorch's wheel does not tell
  add_licenses(libgomp.so.1)
endif()

if(CPACK_GENERATOR STREQUAL DEB)
  file(WRITE ${docs}/copyright "berth: Apache-2.0, see LICENSE. The libraries in /usr/lib/berth and what berth was compiled with: see licenses/.\n")
endif()
if(NOT CPACK_GENERATOR STREQUAL TGZ)
  return()
endif()
find_program(PATCHELF patchelf)
if(NOT PATCHELF)
  message(FATAL_ERROR "patchelf is missing: run launcher/setup/install_deps.sh package")
endif()
set(machine "^ld-linux" "^lib(c|m|dl|rt|pthread|util|resolv|anl|nsl|stdc\\+\\+|gcc_s)\\.so" "^lib(mpi|mpich)\\.so" "^lib(cuda|nvidia-ml)\\.so")

file(GLOB programs ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/bin/*)
file(GET_RUNTIME_DEPENDENCIES EXECUTABLES ${programs} PRE_EXCLUDE_REGEXES ${machine}
     RESOLVED_DEPENDENCIES_VAR libraries UNRESOLVED_DEPENDENCIES_VAR missing)
if(missing)
  message(FATAL_ERROR "the tarball would lack ${missing}")
endif()
foreach(library ${libraries})
  cmake_path(IS_PREFIX CPACK_TEMPORARY_INSTALL_DIRECTORY ${library} NORMALIZE is_there)
  if(NOT is_there)
    file(INSTALL ${library} DESTINATION ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/lib/berth TYPE SHARED_LIBRARY FOLLOW_SYMLINK_CHAIN)
    get_filename_component(name ${library} NAME)
    file(REAL_PATH ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/lib/berth/${name} copy)
    execute_process(COMMAND ${PATCHELF} --set-rpath $ORIGIN ${copy} COMMAND_ERROR_IS_FATAL ANY)
    add_licenses(${name})
  endif()
endforeach()
