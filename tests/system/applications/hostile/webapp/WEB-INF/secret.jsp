<%-- What is for administrators. --%>
<%@ page contentType="text/plain;charset=UTF-8" session="false" trimDirectiveWhitespaces="true" %>
the secret of the application
