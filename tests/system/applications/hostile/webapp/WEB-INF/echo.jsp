<%-- What the servlet was told, one field a line. --%>
<%@ page contentType="text/plain;charset=UTF-8" session="false" trimDirectiveWhitespaces="true" %>
<%
  for (String name : java.util.Collections.list(request.getHeaderNames())) {
    for (String value : java.util.Collections.list(request.getHeaders(name))) {
      out.println(name + "=" + value);
    }
  }
  out.println("REMOTE_USER=" + (request.getRemoteUser() == null ? "" : request.getRemoteUser()));
%>
