# Cases, failures, errors and skipped ones of a JUnit file, by the call that GitLab makes.
require "active_support"
require "active_support/core_ext/hash/conversions"

cases = Hash.from_xml(File.read(ARGV[0], encoding: "UTF-8"))["testsuites"]["testsuite"]["testcase"]
count = ->(name) { cases.count { |one| one.key?(name) } }
puts [cases.length, count["failure"], count["error"], count["skipped"]].join(" ")
