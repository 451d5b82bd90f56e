# Run by `cmake --install` before anything else, with
#   BERTH_PROGRAM    what is installed, and BERTH_LIBRARY what it loads where there are GPUs, if that is built
#   BERTH_FOLDERS    under the prefix, where things go to; the first takes the libraries
#   BERTH_TORCH      the folders that hold libtorch and what comes with it
# The installed program needs no folder of whoever built it: the libraries that it takes from there come along. All is readable for
# everyone, whatever the umask.
if(NOT EXISTS ${BERTH_PROGRAM})
  message(FATAL_ERROR "${BERTH_PROGRAM} is not built yet; run: cmake --build ${BERTH_BUILD} --target programs")
endif()

set(readable OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
foreach(folder ${BERTH_FOLDERS})
  set(path $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/${folder})
  unset(made)
  while(NOT EXISTS ${path})
    list(PREPEND made ${path})
    get_filename_component(path ${path} DIRECTORY)
  endwhile()
  foreach(path ${made})
    file(MAKE_DIRECTORY ${path})
    file(CHMOD ${path} DIRECTORY_PERMISSIONS ${readable})
  endforeach()
endforeach()

# What cannot be found here (the driver of a GPU) or was found twice is nothing to worry about.
file(GET_RUNTIME_DEPENDENCIES EXECUTABLES ${BERTH_PROGRAM} LIBRARIES ${BERTH_LIBRARY} RESOLVED_DEPENDENCIES_VAR libraries UNRESOLVED_DEPENDENCIES_VAR missing
     CONFLICTING_DEPENDENCIES_PREFIX twice)
foreach(name ${twice_FILENAMES})
  list(APPEND libraries ${twice_${name}})
endforeach()
list(GET BERTH_FOLDERS 0 destination)
foreach(library ${libraries})
  file(REAL_PATH ${library} path)
  foreach(folder ${BERTH_TORCH})
    cmake_path(IS_PREFIX folder ${path} comes_along)
    if(comes_along)
      file(INSTALL ${library} DESTINATION ${CMAKE_INSTALL_PREFIX}/${destination} TYPE SHARED_LIBRARY FOLLOW_SYMLINK_CHAIN
           PERMISSIONS ${readable})
    endif()
  endforeach()
endforeach()
