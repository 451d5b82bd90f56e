# Run by `cmake --install` before anything else, with
#   BERTH_PROGRAM    what is installed, and BERTH_LIBRARY what it loads where there are GPUs, if that is built
#   BERTH_FOLDERS    under the prefix, where things go to; the first takes the libraries
#   BERTH_TORCH      the folders that hold libtorch and what comes with it
#   BERTH_WHEELS     the folder where they lie beside what else their wheels hold, licences among it
#   BERTH_LICENSES   under the prefix, where these go to
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
      list(APPEND from_wheels ${path})
    endif()
  endforeach()
endforeach()

# The licences of the wheels that these libraries are from.
file(GLOB records ${BERTH_WHEELS}/*.dist-info/RECORD)
foreach(record ${records})
  file(READ ${record} files)
  set(installed FALSE)
  foreach(library ${from_wheels})
    file(RELATIVE_PATH name ${BERTH_WHEELS} ${library})
    string(FIND "${files}" "${name}," place)
    if(NOT place EQUAL -1)
      list(REMOVE_ITEM from_wheels ${library})
      set(installed TRUE)
    endif()
  endforeach()
  if(installed)
    string(REGEX REPLACE ".*/(.*)\\.dist-info/RECORD" "\\1" wheel ${record})
    string(REGEX MATCHALL "[^\n]*(LICEN[CS]E|License|NOTICE|COPYING)[^/\n,]*," names "${files}")
    foreach(name ${names})
      string(REGEX REPLACE "," "" name ${name})
      string(REGEX REPLACE "^.*\\.dist-info/(licenses/)?" "" short ${name})
      get_filename_component(folder ${BERTH_LICENSES}/${wheel}/${short} DIRECTORY)
      if(EXISTS ${BERTH_WHEELS}/${name})
        file(INSTALL ${BERTH_WHEELS}/${name} DESTINATION ${CMAKE_INSTALL_PREFIX}/${folder})
      endif()
    endforeach()
  endif()
endforeach()
file(CHMOD_RECURSE $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/${BERTH_LICENSES} FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ
     DIRECTORY_PERMISSIONS ${readable})
if(from_wheels)
  list(JOIN from_wheels ", " from_wheels)
  message(NOTICE "No licence is known of ${from_wheels}: pass them on with theirs (launcher/setup/get_libtorch.sh fetches libtorch with its licences)")
endif()
