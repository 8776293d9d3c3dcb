# What `cmake --install` puts where.  The tree can be moved as a whole: the .pc
# file, the CMake package and wsgid find the rest relative to themselves.

# Both libraries and the headers, the generated version.h among them.
install(TARGETS wsgi EXPORT libwsgi-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS wsgi_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/wsgi ${PROJECT_BINARY_DIR}/include/wsgi
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

# The command.
if(TARGET wsgid)
  file(RELATIVE_PATH WSGI_BIN_TO_LIB
    ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  if(NOT WSGI_PYTHON_STATIC)
    set_target_properties(wsgid PROPERTIES INSTALL_RPATH "$ORIGIN/${WSGI_BIN_TO_LIB}")
  endif()
  install(TARGETS wsgid RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(FILES ${PROJECT_SOURCE_DIR}/docs/wsgid.1
  DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 OPTIONAL)

# pkg-config --cflags --libs libwsgi
file(RELATIVE_PATH WSGI_PC_TO_PREFIX
  ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" WSGI_PC_TO_PREFIX ${WSGI_PC_TO_PREFIX})
foreach(dir LIBDIR INCLUDEDIR)
  set(WSGI_PC_${dir} ${CMAKE_INSTALL_${dir}})
  if(NOT IS_ABSOLUTE ${CMAKE_INSTALL_${dir}})
    set(WSGI_PC_${dir} \${prefix}/${CMAKE_INSTALL_${dir}})
  endif()
endforeach()
configure_file(${PROJECT_SOURCE_DIR}/libwsgi.pc.in ${PROJECT_BINARY_DIR}/libwsgi.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/libwsgi.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# find_package(libwsgi), target libwsgi::wsgi
set(WSGI_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/libwsgi)
install(EXPORT libwsgi-targets NAMESPACE libwsgi:: DESTINATION ${WSGI_CMAKE_DIR})
configure_package_config_file(cmake/libwsgi-config.cmake.in
  ${PROJECT_BINARY_DIR}/libwsgi-config.cmake INSTALL_DESTINATION ${WSGI_CMAKE_DIR})
# Before 1.0 the ABI may change with each minor version.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/libwsgi-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/libwsgi-config.cmake
  ${PROJECT_BINARY_DIR}/libwsgi-config-version.cmake
  DESTINATION ${WSGI_CMAKE_DIR})

# To read.
file(GLOB WSGI_DOCS ${PROJECT_SOURCE_DIR}/docs/*.md)
install(FILES ${WSGI_DOCS} DESTINATION ${CMAKE_INSTALL_DOCDIR})
foreach(file README.md CHANGES.md LICENSE)
  install(FILES ${PROJECT_SOURCE_DIR}/${file} DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
endforeach()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/examples DESTINATION ${CMAKE_INSTALL_DOCDIR}
  PATTERN "__pycache__" EXCLUDE)
